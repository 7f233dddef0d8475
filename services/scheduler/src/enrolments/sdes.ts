import {
  type CreatorsOf,
  oneOf,
  type Route,
  roles,
  route,
  SdesPage,
  type Static,
  sdesPaging,
  sdesRange,
  Type,
  toSdesPage,
  type UserNames
} from '@fleetgate/kit'
import { MqttClientId } from '../clients/sdesShapes.js'
import { Id, MaybeTime, Name, nullable } from '../sdesFields.js'
import type { createEnrol } from './enrol.js'
import { type Enrolment, enrolmentStates, stateOf } from './enrolment.js'
import type { Enrolments } from './enrolments.js'

const Role = oneOf(roles)
const daySeconds = 86_400

const Draft = Type.Object({
  name: Type.Optional(nullable(Name)),
  expiresIn: Type.Integer({ minimum: 60, maximum: 365 * daySeconds, default: daySeconds, description: 'seconds' }),
  uses: Type.Integer({ minimum: 1, maximum: 10_000, default: 1, description: 'how many machines may use it' }),
  groupIds: Type.Array(Id, { maxItems: 100, default: [], description: 'static groups that its machines join' }),
  role: Type.Optional(nullable(Role)),
  replace: Type.Boolean({ default: false, description: 'let machines in again whose client id is known' })
})

const fields = {
  enrolmentId: Id,
  name: Type.String(),
  state: oneOf(enrolmentStates),
  uses: Type.Integer(),
  usesLeft: Type.Integer(),
  groupIds: Type.Array(Id),
  role: nullable(Role),
  replace: Type.Boolean(),
  createdBy: Type.String({ description: 'the nickname, of somebody who is no longer there `name (deleted)`' }),
  createdByDeleted: Type.Optional(Type.Boolean()),
  createdAt: Type.Number(),
  expiresAt: Type.Number(),
  revokedAt: MaybeTime
}
const Created = Type.Object({ token: Type.String({ description: 'shown this once' }), ...fields })
const Machine = Type.Object({
  mqttClientId: Type.String(),
  address: Type.String(),
  takenAt: Type.Number(),
  enrolledAt: MaybeTime
})
const Row = Type.Object({ ...fields, machines: Type.Array(Machine, { description: 'the latest 100' }) })

const EnrolBody = Type.Object({
  token: Type.String({ minLength: 1, maxLength: 256 }),
  clientId: MqttClientId,
  role: Type.Optional(nullable(Role))
})
const Admission = Type.Object({
  mqttUrl: Type.String(),
  username: Type.String(),
  password: Type.String(),
  clientId: Type.String(),
  role: Role,
  caPem: Type.Optional(Type.String())
})

export interface EnrolmentRoutesDeps {
  enrolments: Enrolments
  enrol: ReturnType<typeof createEnrol>
  creatorsOf: CreatorsOf
  now: () => number
}

/** Ours: how machines are put under control. */
export function enrolmentRoutes({ enrolments, enrol, creatorsOf, now }: EnrolmentRoutesDeps): Route[] {
  return [
    route({
      method: 'post',
      path: '/v1/clients/enrolments',
      summary: 'Make a token that lets machines enrol; it is shown this once',
      needs: 'client.edit',
      body: Draft,
      reply: Created,
      handle: async ({ body, caller: { tenantId, userId, nickname } }) => {
        const { name, expiresIn, role, uses, groupIds, replace } = body
        const draft = { name: name ?? '', role: role ?? undefined, uses, groupIds: [...new Set(groupIds)], replace }
        const created = { ...draft, expiresInMs: expiresIn * 1000, createdBy: nickname, creatorId: userId }
        const { enrolment, token } = await enrolments.create(tenantId, created)
        return { token, ...toFields(enrolment, now()) }
      }
    }),
    route({
      method: 'get',
      path: '/v1/clients/enrolments',
      summary: 'List enrolments and the machines that used them, newest first',
      needs: 'client.view',
      query: Type.Object(sdesPaging),
      reply: SdesPage(Row),
      handle: async ({ query, caller }) => {
        const found = await enrolments.list(caller.tenantId, sdesRange(query))
        const creators = await creatorsOf(
          caller.tenantId,
          found.items.flatMap(({ creatorId }) => creatorId ?? [])
        )
        const items = found.items.map((item) => ({ ...toRow(item, now()), ...toCreator(item, creators) }))
        return toSdesPage({ ...found, items })
      }
    }),
    route({
      method: 'delete',
      path: '/v1/clients/enrolments/:enrolmentId',
      summary: 'Revoke an enrolment; machines that used it stay',
      needs: 'client.edit',
      params: Type.Object({ enrolmentId: Id }),
      reply: Type.Object({ enrolmentId: Id }),
      handle: async ({ params, caller }) => {
        await enrolments.revoke(caller.tenantId, params.enrolmentId)
        return params
      }
    }),
    route({
      method: 'post',
      path: '/v1/clients/enrol',
      summary: 'For machines: exchange a token for an MQTT user; may be repeated while the token lives',
      needs: 'public',
      body: EnrolBody,
      reply: Admission,
      handle: ({ body: { token, clientId, role }, request }) =>
        enrol({ token, mqttClientId: clientId, role: role ?? undefined, address: request.address })
    })
  ]
}

function toFields(enrolment: Enrolment, now: number) {
  const { enrolmentId, name, uses, left, groupIds, replace, createdBy, createdAt, expiresAt } = enrolment
  return {
    enrolmentId,
    name,
    state: stateOf(enrolment, now),
    uses,
    usesLeft: left,
    groupIds,
    role: enrolment.role ?? null,
    replace,
    createdBy,
    createdAt,
    expiresAt,
    revokedAt: enrolment.revokedAt ?? null
  }
}

/** A token outlives who made it and says so; where auth does not answer nothing is said. */
function toCreator({ createdBy, creatorId }: Enrolment, creators: UserNames | undefined) {
  if (creatorId === undefined || creators === undefined || creators.get(creatorId)?.isDeleted === false) return {}
  return { createdBy: `${createdBy} (deleted)`, createdByDeleted: true }
}

function toRow(enrolment: Enrolment, now: number): Static<typeof Row> {
  const machines = enrolment.machines.map(({ mqttClientId, address, takenAt, enrolledAt }) => ({
    mqttClientId,
    address,
    takenAt,
    enrolledAt: enrolledAt ?? null
  }))
  return { ...toFields(enrolment, now), machines }
}
