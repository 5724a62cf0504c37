//! Whether an image's scripts are allowed: by the operator's flag and by its namespace's label.
//!
//! Invariant: the namespace is asked for only where a document has scripts and the flag is set.

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use kube::api::Api;

use super::context::Context;
use super::validate::Refusal;
use crate::api::{Image, labels};
use crate::manifest::types::Spec;

/// Why the scripts of `spec` may not run; none if they may or there are none.
pub(super) async fn refused(
    image: &Image,
    spec: &Spec,
    context: &Context,
) -> Result<Option<Refusal>, kube::Error> {
    if spec.disk.as_ref().is_none_or(|disk| disk.scripts.is_empty()) {
        return Ok(None);
    }
    if !context.config.allow_scripts {
        let (operator, namespace) = ("has not", "was not asked");
        return Ok(Some(Refusal::ScriptsNotAllowed { operator, namespace }));
    }
    let namespaces: Api<Namespace> = Api::all(context.client.clone());
    let found = namespaces.get_opt(image.namespace()).await?;
    let allowed = found.is_some_and(|found| {
        found.labels().get(labels::ALLOW_SCRIPTS).map(String::as_str) == Some("true")
    });
    let (operator, namespace) = ("has", "has not");
    Ok((!allowed).then_some(Refusal::ScriptsNotAllowed { operator, namespace }))
}
