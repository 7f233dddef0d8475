import { type Static, Type } from '@fleetgate/kit'
import { ipv4 } from './nodeFields.js'
import type { ClusterOptions, OptionsDraft, SnapshotStore } from './options.js'

const label = '[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?'
/** A last label of digits alone would be an address that is none. */
const name = `(?:${label}\\.)*(?=[A-Za-z0-9-]*[A-Za-z])${label}`
const ApiAddress = Type.String({ maxLength: 253, pattern: `^(?:${ipv4}|${name}|)$` })
const printable = (maxLength: number) => Type.String({ minLength: 1, maxLength, pattern: '^[!-~]*$' })
const Schedule = Type.String({ minLength: 1, maxLength: 200 })
const Retention = Type.Integer({ minimum: 1, maximum: 1_000 })

/** Of a path; none of them means the folder itself or that above it. */
const part = '(?!\\.{1,2}(?:/|$))[A-Za-z0-9._-]+'

const store = {
  /** Host and, if another than that of the protocol, port. */
  endpoint: Type.String({ maxLength: 259, pattern: `^(?:${label}\\.)*${label}(?::[1-9]\\d{0,4})?$` }),
  bucket: Type.String({ pattern: '^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$' }),
  region: Type.String({ maxLength: 64, pattern: '^[A-Za-z0-9-]*$', default: '' }),
  folder: Type.String({ maxLength: 256, pattern: `^(?:${part}(?:/${part})*)?$`, default: '' }),
  /** Plain HTTP. */
  insecure: Type.Boolean({ default: false })
}

/** Ours: what a request may say of a cluster's options. */
export const optionFields = {
  apiAddress: Type.Optional(ApiAddress),
  monitoring: Type.Optional(Type.Boolean()),
  snapshots: Type.Optional(
    Type.Object({
      schedule: Type.Optional(Schedule),
      retention: Type.Optional(Retention),
      s3: Type.Optional(Type.Object({ ...store, accessKey: printable(128), secretKey: printable(256) }))
    })
  )
}
const Options = Type.Object(optionFields)

/** Ours: only what a cluster has of it, and no key. */
export const optionReply = {
  apiAddress: Type.Optional(Type.String()),
  monitoring: Type.Optional(Type.Boolean()),
  snapshots: Type.Optional(
    Type.Object({
      schedule: Type.Optional(Type.String()),
      retention: Type.Optional(Type.Integer()),
      s3: Type.Optional(Type.Object(store))
    })
  )
}

export function toOptions({ apiAddress, monitoring, snapshots }: Static<typeof Options>): OptionsDraft {
  const { s3 } = snapshots ?? {}
  return {
    // Names of computers are the same in large and small letters, and are compared.
    apiAddress: apiAddress?.toLowerCase(),
    monitoring,
    snapshots: snapshots && {
      schedule: snapshots.schedule,
      retention: snapshots.retention,
      s3: s3 && { ...storeOf(s3), accessKey: s3.accessKey, secretKey: s3.secretKey }
    }
  }
}

export function toOptionReply({ apiAddress, monitoring, snapshots }: ClusterOptions): ClusterOptions {
  return {
    ...(apiAddress ? { apiAddress } : {}),
    ...(monitoring ? { monitoring } : {}),
    ...(snapshots ? { snapshots } : {})
  }
}

/** What is not named here is not kept. */
function storeOf({ endpoint, bucket, region, folder, insecure }: SnapshotStore): SnapshotStore {
  return { endpoint, bucket, region, folder, insecure }
}
