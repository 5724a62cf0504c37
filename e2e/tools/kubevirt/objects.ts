// Objects of KubeVirt and CDI as they are written: literals of these types are judged by the compiler.
// The types come from the projects' own OpenAPI documents, by way of a package that is generated from them.
// Invariant: a field that the API does not know, lacks or knows as something else is an error.
import type { V1beta1DataSource, V1beta1DataVolume } from '@kubevirt-ui-ext/kubevirt-api/containerized-data-importer';
import type { V1VirtualMachine } from '@kubevirt-ui-ext/kubevirt-api/kubevirt';

// Enums become their texts, and the objects without fields stay empty.
type Plain<T> = T extends string
  ? `${T}`
  : T extends number | boolean | null | undefined
    ? T
    : T extends Array<infer Item>
      ? Array<Plain<Item>>
      : [keyof T] extends [never]
        ? Record<string, never>
        : { [Field in keyof T]: Plain<T[Field]> };

// An object says what it is, and has a name.
type Named<T, Version, Kind> = Plain<T> & { apiVersion: Version; kind: Kind; metadata: { name: string } };

export type VirtualMachine = Named<V1VirtualMachine, 'kubevirt.io/v1', 'VirtualMachine'>;
export type DataVolume = Named<V1beta1DataVolume, 'cdi.kubevirt.io/v1beta1', 'DataVolume'>;
export type DataSource = Named<V1beta1DataSource, 'cdi.kubevirt.io/v1beta1', 'DataSource'>;
