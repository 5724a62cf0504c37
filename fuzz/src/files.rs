//! The files that are broken, by format.
//!
//! Invariant: new parameters are added at the end, so that stored inputs keep their meaning.

use vmimage::engine::format::{FormatName, Params, qcow2, vdi, vhd, vhdx, vmdk};

use crate::Files;

/// Of qcow2.
pub static QCOW2: Files = Files::new(FormatName::Qcow2, qcow2_params);
/// Of VMDK.
pub static VMDK: Files = Files::new(FormatName::Vmdk, vmdk_params);
/// Of VHD.
pub static VHD: Files = Files::new(FormatName::Vhd, vhd_params);
/// Of VHDX.
pub static VHDX: Files = Files::new(FormatName::Vhdx, vhdx_params);
/// Of VDI.
pub static VDI: Files = Files::new(FormatName::Vdi, vdi_params);

fn qcow2_params() -> Vec<Params> {
    use qcow2::{Compat, Compression, Params as Of, Preallocation};
    let small = |of: Of| Of { cluster_size: 512, ..of };
    [
        small(Of::default()),
        small(Of::compressed(Compression::Zlib)),
        Of::compressed(Compression::Zstd),
        Of { compat: Compat::V2, ..Of::default() },
        small(Of { lazy_refcounts: true, ..Of::default() }),
        small(Of { preallocation: Preallocation::Metadata, ..Of::default() }),
    ]
    .map(Params::Qcow2)
    .into()
}

fn vmdk_params() -> Vec<Params> {
    use vmdk::{Params as Of, Subformat};
    let of = |subformat| Params::Vmdk(Of { subformat, ..Of::default() });
    // The file of monolithicFlat is its descriptor.
    vec![
        of(Subformat::MonolithicSparse),
        of(Subformat::StreamOptimized),
        of(Subformat::MonolithicFlat),
    ]
}

fn vhd_params() -> Vec<Params> {
    vec![Params::Vhd(vhd::Params::default())]
}

fn vhdx_params() -> Vec<Params> {
    vec![Params::Vhdx(vhdx::Params::default())]
}

fn vdi_params() -> Vec<Params> {
    vec![Params::Vdi(vdi::Params::default())]
}
