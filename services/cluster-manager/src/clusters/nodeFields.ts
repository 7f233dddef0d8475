import { type Static, Type } from '@fleetgate/kit'
import type { LoginDraft, NodeDraft } from './rules.js'

/** An IPv4 address in its one form, so that the same host is seen to be the same; a part of a pattern that ends with the text. */
export const ipv4 = '(?:(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)(?:\\.(?!$)|$)){4}'
const Ip = Type.String({ pattern: `^${ipv4}$` })
const SshUser = Type.String({ pattern: '^[a-z_][a-z0-9_.-]{0,31}$', default: 'root' })
const Secret = Type.String({ maxLength: 16_384 })

const login = {
  ip: Ip,
  sshUser: SshUser,
  /** Ours. */
  sshPort: Type.Integer({ minimum: 1, maximum: 65_535, default: 22 }),
  /** base64 of PEM as in the document, PEM, or OpenSSH's own form. */
  privateKey: Type.Optional(Secret),
  /** Ours: of the private key. */
  passphrase: Type.Optional(Secret),
  /** Ours: instead of a key. */
  password: Type.Optional(Secret),
  /** Ours: the fingerprint that the host must show, `SHA256:…`; otherwise the first one shown is recorded. */
  hostKey: Type.Optional(Type.String({ pattern: '^SHA256:[A-Za-z0-9+/]{43}$' }))
}

export const Node = Type.Object({
  ...login,
  privateNicName: Type.String({ pattern: '^[A-Za-z0-9_.-]{0,15}$', default: '' }),
  /** Ours: the way in. */
  bastion: Type.Optional(Type.Object(login))
})

export const Nodes = Type.Array(Node, { maxItems: 200, default: [] })

/** What the original answers to a count that is none. */
export const countCodes = { masterCount: 'E50010', sharedCount: 'E50010', pureslaveCount: 'E50010' } as const
export const Count = Type.Optional(Type.Integer({ minimum: 0 }))

/** The edge's own type is the draft: the same fields by the same names. */
export function toNode(node: Static<typeof Node>): NodeDraft {
  return { ...(node satisfies LoginDraft), privateNicName: node.privateNicName }
}
