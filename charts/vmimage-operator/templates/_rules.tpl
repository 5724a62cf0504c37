{{/* What the operator may do in a namespace with images, and why. No Secrets: build pods mount them. */}}
{{- define "vmimage-operator.rules" -}}
# The images: watched; only their status is written.
- apiGroups: [vmimage.dev]
  resources: [vmimages]
  verbs: [get, list, watch]
- apiGroups: [vmimage.dev]
  resources: [vmimages/status]
  verbs: [patch]
# An owner reference with blockOwnerDeletion needs this right on clusters with the admission plugin
# OwnerReferencesPermissionEnforcement (OpenShift has it).
- apiGroups: [vmimage.dev]
  resources: [vmimages/finalizers]
  verbs: [update]
# One Job for each attempt to build; ended ones are deleted, none is ever changed.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
# Build pods belong to their Jobs: read for waiting reasons and termination messages.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
# The build manifest, one framed line of the build pod's log.
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
# The document for the build pod and the kept build manifest; immutable, old ones found by label.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, create, delete]
# The volumes: made, marked complete by a patch of annotations, and deleted when superseded.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, create, patch, delete]
# Why a Job has no pod (quota, Pod Security, SCC) is told in the Job's FailedCreate events only.
- apiGroups: [""]
  resources: [events]
  verbs: [list]
# The operator's own events; a repeated one is patched into a series.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{/* What the operator reads that belongs to no namespace. */}}
{{- define "vmimage-operator.clusterRules" -}}
# Whether a claim's StorageClass exists, and which is the default one.
- apiGroups: [storage.k8s.io]
  resources: [storageclasses]
  verbs: [get, list]
{{- end }}
