import { oneOf, roles, SdesPage, type Static, Type } from '@fleetgate/kit'
import { createdQuery, Flag, Id, MaybeTime, meantOf, nullable, sdesPaging } from '../sdesFields.js'
import type { ClientSettings } from '../settings/settings.js'
import { type Client, statuses } from './client.js'

export const ById = Type.Object({ clientId: Id })
/** What MQTT allows as a client id and one level of a topic: no wildcard, no slash. */
export const MqttClientId = Type.String({ minLength: 1, maxLength: 256, pattern: '^[^+#/\\u0000]+$' })
const Word = Type.String({ maxLength: 256 })
const Role = oneOf(roles)

/** `status` and the times are the broker's to say: taken as the document has them, and not believed. */
const presenceWords = {
  status: Type.Optional(nullable(Type.String())),
  connnectedAt: Type.Optional(MaybeTime),
  disconnnetedAt: Type.Optional(MaybeTime)
}
/** The document's word, and that of the other resources. */
const switchWords = {
  enable: Type.Optional(nullable(Type.Boolean())),
  enabled: Type.Optional(nullable(Type.Boolean()))
}
export const Draft = Type.Object({
  mqttClientId: MqttClientId,
  username: Type.Optional(nullable(Word)),
  ip: Type.Optional(nullable(Word)),
  ...switchWords,
  role: Type.Optional(nullable(Role)),
  ...presenceWords
})
export const Change = Type.Object({
  clientId: Id,
  mqttClientId: Type.Optional(nullable(MqttClientId)),
  username: Type.Optional(nullable(Word)),
  ip: Type.Optional(nullable(Word)),
  ...switchWords,
  role: Type.Optional(nullable(Role)),
  ...presenceWords
})

const Time = Type.Optional(Type.Number())
/** Filters of every list of clients. */
export const ClientQuery = Type.Object({
  ...sdesPaging,
  clientId: Type.Optional(Id),
  username: Type.Optional(Word),
  usernameContain: Type.Optional(Word),
  mqttClientId: Type.Optional(Type.Array(Word, { maxItems: 1000 })),
  mqttClientIdContain: Type.Optional(Word),
  status: Type.Optional(oneOf(statuses)),
  enabled: Type.Optional(Flag),
  /** Clients with this attribute, or with this value of it. */
  attributeName: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
  attributeValue: Type.Optional(Type.String({ maxLength: 1024 })),
  attributeValueContain: Type.Optional(Type.String({ maxLength: 1024 })),
  connectedAtGte: Time,
  connectedAtLte: Time,
  disconnectedAtGte: Time,
  disconnectedAtLte: Time,
  ...createdQuery
})

/** The names of the document's several shapes of a client, with its spellings, beside the plain ones. */
export const Row = Type.Object({
  clientId: Id,
  mqttClientId: Type.String(),
  username: Type.String(),
  enable: Type.Boolean(),
  enabled: Type.Boolean(),
  status: oneOf(statuses),
  role: Role,
  ip: Type.String(),
  connectAt: MaybeTime,
  connectedAt: MaybeTime,
  connnectedAt: MaybeTime,
  disconnectAt: MaybeTime,
  disconnectedAt: MaybeTime,
  disconnnetedAt: MaybeTime,
  createAt: Type.Number(),
  createdAt: Type.Number()
})
export const ClientPage = SdesPage(Row)
const Attribute = Type.Object({ attributeName: Type.String(), attributeValue: Type.String() })
export const Details = Type.Composite([
  Row,
  Type.Object({ version: nullable(Type.String()), attributes: Type.Array(Attribute) })
])

export function toDraft(body: Static<typeof Draft>, { autoEnableNewClient }: ClientSettings) {
  const { mqttClientId, username, ip, enable, enabled, role } = body
  return {
    mqttClientId,
    username: username ?? '',
    ip: ip ?? '',
    enabled: meantOf([enabled, enable]) ?? autoEnableNewClient,
    ...(role == null ? { role: 'STORE' as const } : { role, isRoleFixed: true })
  }
}

export function toChange(body: Static<typeof Change>, stored: Pick<Client, 'enabled'>) {
  const { mqttClientId, username, ip, role } = body
  const enabled = meantOf([body.enabled, body.enable], stored.enabled)
  return {
    ...(mqttClientId == null ? {} : { mqttClientId }),
    ...(username == null ? {} : { username }),
    ...(ip == null ? {} : { ip }),
    ...(enabled === undefined ? {} : { enabled }),
    ...(role == null ? {} : { role, isRoleFixed: true })
  }
}

export function toRow(client: Client): Static<typeof Row> {
  const { clientId, mqttClientId, username, enabled, status, role, ip, createdAt } = client
  const connectedAt = client.connectedAt ?? null
  const disconnectedAt = client.disconnectedAt ?? null
  return {
    clientId,
    mqttClientId,
    username,
    enable: enabled,
    enabled,
    status,
    role,
    ip,
    connectAt: connectedAt,
    connectedAt,
    connnectedAt: connectedAt,
    disconnectAt: disconnectedAt,
    disconnectedAt,
    disconnnetedAt: disconnectedAt,
    createAt: createdAt,
    createdAt
  }
}

export function toDetails(client: Client): Static<typeof Details> {
  const values = new Map([...client.attributes, ...(client.assigned ?? [])].map(({ name, value }) => [name, value]))
  const attributes = [...values].map(([attributeName, attributeValue]) => ({ attributeName, attributeValue }))
  return { ...toRow(client), version: client.version ?? null, attributes }
}
