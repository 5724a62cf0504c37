{{/* What the operator may do in a namespace with images, and why. No Secrets: build pods mount them. */}}
{{- define "vmimage-operator.rules" -}}
# The images: watched; only their status is written.
- apiGroups: [vmimage.dev]
  resources: [vmimages]
  verbs: [list, watch]
- apiGroups: [vmimage.dev]
  resources: [vmimages/status]
  verbs: [patch]
# One Job for each attempt to build; ended ones are deleted, none is ever changed.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
# Build pods belong to their Jobs: read for waiting reasons and termination messages.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
# The build manifest, one framed line of the build pod's log.
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
# The document for the build pod and the kept build manifest: immutable, known by name.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, create, delete]
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
{{- if .Values.kubevirt }}
# DataVolumes that wait for published volumes, DataSources that point at them: ours are made, changed and
# deleted. Those of others are read: one of a wanted name, and whether one still copies an old volume.
- apiGroups: [cdi.kubevirt.io]
  resources: [datavolumes, datasources]
  verbs: [get, list, create, patch, delete]
# Whether a machine, running or not, still has an old volume: asked before one is deleted.
- apiGroups: [kubevirt.io]
  resources: [virtualmachines, virtualmachineinstances]
  verbs: [list]
{{- end }}
{{- end }}

{{/* What the operator reads that belongs to no namespace. */}}
{{- define "vmimage-operator.clusterRules" -}}
# Whether a claim's StorageClass exists, and which is the default one.
- apiGroups: [storage.k8s.io]
  resources: [storageclasses]
  verbs: [get, list]
{{- if .Values.kubevirt }}
# What CDI was told that filesystems keep for themselves.
- apiGroups: [cdi.kubevirt.io]
  resources: [cdiconfigs]
  verbs: [get]
{{- end }}
{{- if .Values.allowScripts }}
# Whether a namespace allows scripts: its label.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{- end }}
{{- end }}
