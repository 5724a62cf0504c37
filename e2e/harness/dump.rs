//! Shows a namespace as it stands, for the log of a failed case.

use super::host::try_kubectl;

/// Prints all that may explain a failure in `namespace`.
pub(crate) fn show(namespace: &str) {
    let commands: [&[&str]; 5] = [
        &["-n", namespace, "get", "vmimg,job,pod,pvc,cm,quota", "-o", "wide"],
        &["-n", namespace, "get", "vmimg,pod", "-o", "yaml", "--show-managed-fields=false"],
        &["-n", namespace, "get", "events", "--sort-by=.lastTimestamp"],
        &["-n", namespace, "logs", "-l", "vmimage.dev/image", "--tail=30", "--prefix"],
        &["-n", "vmimage-system", "logs", "deploy/vmimage-operator", "--tail=60"],
    ];
    for command in commands {
        eprintln!("──── kubectl {}\n{}", command.join(" "), try_kubectl(command));
    }
}
