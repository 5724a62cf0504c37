//! What the operator needs of the APIs of CDI and KubeVirt: names, annotations and plain objects.
//!
//! Knows no field of a spec. Invariant: what another program wrote always decodes.

use std::borrow::Cow;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// CDI's API group with its version.
pub const CDI: &str = "cdi.kubevirt.io/v1beta1";
/// KubeVirt's API group with its version.
pub const KUBEVIRT: &str = "kubevirt.io/v1";
/// The name of the only CDIConfig.
pub const CONFIG: &str = "config";

/// Annotation on a claim: the DataVolume that adopts it. CDI asks for nothing else, so it is set when
/// the content is complete.
pub const POPULATED_FOR: &str = "cdi.kubevirt.io/storage.populatedFor";
/// Annotation on a DataVolume: the claim that it waits for. Without it CDI makes a claim itself.
pub const PRE_POPULATED: &str = "cdi.kubevirt.io/storage.prePopulated";
/// How the labels begin that CDI copies from a claim to its DataSource, and never takes away again.
pub const DEFAULT_LABELS: &str = "instancetype.kubevirt.io/default-";
/// The phase of a DataVolume that is done.
pub const SUCCEEDED: &str = "Succeeded";

/// A kind of object of another program.
pub trait Kind {
    /// The API group with its version.
    const API: &'static str;
    /// The kind's name.
    const NAME: &'static str;
    /// Its name in paths.
    const PLURAL: &'static str;
    /// Where its objects live.
    type Scope;
}

/// An object of another program: its spec and status are whatever they are.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound = "")]
pub struct Foreign<K> {
    /// The API group with its version.
    #[serde(default)]
    pub api_version: String,
    /// The kind.
    #[serde(default)]
    pub kind: String,
    /// Name, namespace and the rest.
    pub metadata: ObjectMeta,
    /// The spec.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub spec: Value,
    /// The status.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub status: Value,
    #[serde(skip)]
    marker: PhantomData<K>,
}

impl<K: Kind> Foreign<K> {
    /// An object to create.
    #[must_use]
    pub fn new(metadata: ObjectMeta, spec: Value) -> Self {
        Self {
            api_version: K::API.to_owned(),
            kind: K::NAME.to_owned(),
            metadata,
            spec,
            status: Value::Null,
            marker: PhantomData,
        }
    }
}

impl<K: Kind> kube::Resource for Foreign<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::NAME.into()
    }

    fn group((): &()) -> Cow<'_, str> {
        K::API.split('/').next().unwrap_or_default().into()
    }

    fn version((): &()) -> Cow<'_, str> {
        K::API.split('/').nth(1).unwrap_or_default().into()
    }

    fn api_version((): &()) -> Cow<'_, str> {
        K::API.into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::PLURAL.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $marker:ident $name:ident $api:ident $plural:literal $scope:ident;)*) => {$(
        #[doc = concat!("Marks objects of kind ", stringify!($name), ".")]
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $marker;

        impl Kind for $marker {
            const API: &'static str = $api;
            const NAME: &'static str = stringify!($name);
            const PLURAL: &'static str = $plural;
            type Scope = $scope;
        }

        $(#[$doc])*
        pub type $name = Foreign<$marker>;
    )*};
}

kinds! {
    /// A claim that CDI fills or adopts.
    OfDataVolume DataVolume CDI "datavolumes" NamespaceResourceScope;
    /// A name for what disks are cloned from.
    OfDataSource DataSource CDI "datasources" NamespaceResourceScope;
    /// What CDI knows of filesystems.
    OfCDIConfig CDIConfig CDI "cdiconfigs" ClusterResourceScope;
    /// A machine, running or not.
    OfVirtualMachine VirtualMachine KUBEVIRT "virtualmachines" NamespaceResourceScope;
    /// A running machine.
    OfVirtualMachineInstance VirtualMachineInstance KUBEVIRT "virtualmachineinstances" NamespaceResourceScope;
}

#[cfg(test)]
mod tests {
    use kube::Resource as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_and_bodies_are_those_of_cdi() {
        assert_eq!(
            DataVolume::url_path(&(), Some("n")),
            "/apis/cdi.kubevirt.io/v1beta1/namespaces/n/datavolumes"
        );
        assert_eq!(CDIConfig::url_path(&(), None), "/apis/cdi.kubevirt.io/v1beta1/cdiconfigs");
        let body = DataSource::new(ObjectMeta::default(), json!({"source": {}}));
        assert_eq!(
            serde_json::to_value(body).unwrap(),
            json!({"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "DataSource", "metadata": {},
                "spec": {"source": {}}})
        );
    }

    #[test]
    fn any_object_decodes() {
        let odd = json!({"metadata": {"name": "a"}, "spec": "text", "status": [1]});
        assert_eq!(serde_json::from_value::<DataVolume>(odd).unwrap().spec, "text");
    }
}
