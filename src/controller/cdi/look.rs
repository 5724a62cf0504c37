//! Looks at CDI's objects by their names.
//!
//! Decides nothing. Invariant: an image that asks for nothing of CDI causes one request here, and only
//! where it makes a claim.

use std::collections::BTreeMap;

use kube::api::Api;

use super::super::context::{Context, Namespaced};
use super::super::observe::{Observed, Wanted};
use super::{Look, Overhead, Presence, Seen, Served, SourceTruth, VolumeTruth};
use crate::api::Image;
use crate::api::cdi::{CDIConfig, CONFIG, DataSource, DataVolume};

/// Looks at what `image`, whose targets are `wanted`, needs of CDI.
pub(in crate::controller) async fn look(
    image: &Image,
    wanted: &[Wanted],
    observed: &Observed,
    context: &Context,
) -> Result<Seen, kube::Error> {
    let presence = context.presence();
    let mut seen = Seen { served: presence.served, ..Seen::default() };
    if seen.served != Served::There {
        return Ok(seen);
    }
    seen.made_volumes = Presence::made(&presence.volumes, image);
    seen.fresh = presence.fresh(image);
    seen.made_sources = Presence::made(&presence.sources, image);
    for wanted in wanted {
        if wanted.data_volume.is_some() {
            let found = get::<DataVolume, _>(image, &wanted.claim, context, |volume| {
                VolumeTruth::from(volume)
            });
            seen.volumes.insert(wanted.claim.clone(), found.await?);
        }
        if let Some(name) = &wanted.data_source {
            let found =
                get::<DataSource, _>(image, name, context, |source| SourceTruth::from(source));
            seen.sources.insert(name.clone(), found.await?);
        }
    }
    // Classes are looked up where a claim has yet to be made.
    if !observed.classes.is_empty() {
        seen.overhead = overhead(context).await?;
    }
    Ok(seen)
}

async fn get<K, T>(
    image: &Image,
    name: &str,
    context: &Context,
    convert: impl Fn(&K) -> T,
) -> Result<Look<T>, kube::Error>
where
    K: Namespaced,
{
    let objects: Api<K> = Api::namespaced(context.client.clone(), image.namespace());
    match objects.get_opt(name).await {
        Ok(found) => Ok(found.map_or(Look::Absent, |object| Look::There(convert(&object)))),
        Err(kube::Error::Api(answer)) if answer.code == 403 => {
            Ok(Look::Forbidden(answer.message.clone()))
        }
        Err(error) => Err(error),
    }
}

/// What CDI was told of filesystems; nothing where it may not be asked.
async fn overhead(context: &Context) -> Result<Overhead, kube::Error> {
    let configs: Api<CDIConfig> = Api::all(context.client.clone());
    let config = match configs.get_opt(CONFIG).await {
        Ok(config) => config,
        Err(kube::Error::Api(answer)) if answer.code == 403 => {
            tracing::warn!(cause = answer.message, "CDI's filesystem overhead is not known");
            None
        }
        Err(error) => return Err(error),
    };
    let Some(config) = config else { return Ok(Overhead::default()) };
    let told = &config.status["filesystemOverhead"];
    let classes = told["storageClass"].as_object();
    let class = |(name, value): (&String, &serde_json::Value)| {
        Some((name.clone(), millionths(value.as_str()?)?))
    };
    Ok(Overhead {
        global: told["global"].as_str().and_then(millionths).unwrap_or_default(),
        classes: classes.into_iter().flatten().filter_map(class).collect::<BTreeMap<_, _>>(),
    })
}

/// `0.06` as millionths, rounded up: a fraction below 1.
fn millionths(text: &str) -> Option<u32> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = decimals.bytes().all(|b| b.is_ascii_digit());
    if !whole.bytes().all(|b| b == b'0') || !digits {
        return None;
    }
    let first: String = decimals.chars().chain("000000".chars()).take(6).collect();
    let more = decimals.bytes().skip(6).any(|b| b != b'0');
    Some(first.parse::<u32>().ok()? + u32::from(more))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_read_and_rounded_up() {
        let cases = [
            ("0.06", Some(60_000)),
            ("0", Some(0)),
            ("0.0000001", Some(1)),
            (".5", Some(500_000)),
            ("0.999999", Some(999_999)),
            ("1", None),
            ("6%", None),
            ("0.-1", None),
        ];
        for (text, expected) in cases {
            assert_eq!(millionths(text), expected, "{text}");
        }
    }
}
