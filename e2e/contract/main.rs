//! The contract with CDI, as a table: `e1.yaml` (adoption of claims) and `e2.yaml` (DataSources) hold
//! what was observed, one row a fact, and every row is a test against a cluster. `e2e/contract/run`
//! starts a local cluster with the stand-in of `e2e/cdi-contract`; with `KUBECONFIG` set it asks a
//! cluster that has CDI itself.
//!
//! Does not test the operator. Invariant: a row is only given, done and seen through the API server,
//! so the same rows judge CDI and the stand-in.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test program may panic and talk")]

mod place;
mod play;
mod row;
mod see;
#[path = "../harness/wait.rs"]
mod wait;

/// One test for each row.
macro_rules! rows {
    ($($row:ident)+) => {
        const ROWS: &[&str] = &[$(stringify!($row)),+];
        $(#[test] fn $row() { play::row(stringify!($row)); })+
    };
}

rows! {
    e1_pf_and_ad
    e1_pf_alone
    e1_a_ad_alone
    e1_b_neither
    e1_b_pf_of_another
    e1_pf_of_another_and_ad
    e1_gate
    e1_gate_overridden
    e1_c_controlled_ad
    e1_c_controlled_ad_and_pf
    e1_c_delete_datavolume
    e1_c_delete_controller
    e1_c_delete_controller_held
    e1_d_plain_owner
    e1_d_datavolume_goes_first
    e1_d_owner_goes_first
    e1_e_waits
    e1_e_then_pf
    e1_e_then_claim_without_pf_ad
    e1_e_then_claim_without_pf
    e1_e_pf_annotated_later
    e1_f_datavolume_first
    e1_f_collision
    e1_g_pending_ad
    e1_g_pending_pf
    e1_g_bound_by_consumer
    e1_h_larger
    e1_h_smaller
    e1_i_block
    e1_j_storage_with_claim
    e1_j_storage_without_claim
    e1_j_claim_deleted
    e1_storage_empty
    e1_source_http
    e1_source_http_ad
    e1_source_pvc
    e1_source_upload
    e1_source_absent
    e1_source_ref_missing
    e1_external
    e1_external_later
    e1_k_delete
    e1_k_orphan
    e1_k_again
    e1_lost_with_pp
    e1_lost_without_pp
    e1_lost_without_pp_http
    e1_spec_is_fixed
    e2_ready
    e2_ready_while_pending
    e2_ready_in_another_namespace
    e2_not_found
    e2_found_later
    e2_deleted_later
    e2_no_source
    e2_cross_namespace
    e2_labels_to_datasource
    e2_labels_to_clone
    e2_labels_overwrite
    e2_labels_stay_after_flip
    e2_labels_overwrite_only_their_keys
    e2_flip
    e2_clone_of_unready
    e2_clone_goes_on
    e2_clone_source_is_fixed
    e2_clone_source_deleted
    e2_clone_of_empty
}

#[test]
fn every_row_is_a_test() {
    let table: Vec<String> = row::all().into_iter().map(|row| row.id).collect();
    assert_eq!(table, ROWS, "the rows of e1.yaml and e2.yaml, and the tests of main.rs");
}
