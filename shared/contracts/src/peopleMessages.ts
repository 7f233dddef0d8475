import { EpochMs, TenantId } from './ids.js'
import type { RpcContract } from './messages.js'
import { type Static, Type } from './schema.js'

/** The user names that EMQ's API knows; an e-mail address is never one, so that a log-in name means one person. */
export const UserName = Type.String({ minLength: 1, maxLength: 64, pattern: '^[A-Za-z0-9_.-]+$' })
/** What names a person: the user name or, where there is none, the e-mail address. */
const PersonName = Type.String({ minLength: 1, maxLength: 320 })

export const EmailAddress = Type.String({ minLength: 5, maxLength: 255, format: 'email' })
const Profile = {
  /** EMQ's free text; it allows nothing. */
  role: Type.String({ maxLength: 127 }),
  remark: Type.String({ maxLength: 255 }),
  tags: Type.String({ maxLength: 255 })
}
const PersonData = Type.Object({
  id: Type.String(),
  username: Type.String(),
  /** Empty where the person has none. */
  email: Type.String(),
  ...Profile,
  createdAt: EpochMs
})
export type PersonData = Static<typeof PersonData>

/** Who asks, and from where: for the rules and for the audit. */
const Actor = Type.Object({
  tenantId: TenantId,
  userId: Type.String(),
  email: Type.String(),
  isSuperAdmin: Type.Boolean(),
  serviceTokenId: Type.Optional(Type.String()),
  address: Type.String(),
  requestId: Type.String()
})
export type Actor = Static<typeof Actor>

const Nothing = Type.Object({})
const timeoutMs = 5000

export const listPeople = {
  operation: 'auth.listPeople',
  summary: 'The people of a tenant in order of id',
  request: Type.Object({
    tenantId: TenantId,
    after: Type.String({ default: '' }),
    limit: Type.Integer({ minimum: 1, maximum: 500, default: 500 })
  }),
  reply: Type.Object({ people: Type.Array(PersonData) }),
  timeoutMs
} satisfies RpcContract

export const getPerson = {
  operation: 'auth.getPerson',
  summary: 'One person of a tenant by user name or e-mail address; none where there is nobody',
  request: Type.Object({ tenantId: TenantId, username: PersonName }),
  reply: Type.Object({ person: Type.Optional(PersonData) }),
  timeoutMs
} satisfies RpcContract

export const createPerson = {
  operation: 'auth.createPerson',
  summary: 'A user with a user name and without roles; a taken name or address is a conflict',
  request: Type.Object({
    actor: Actor,
    username: UserName,
    password: Type.String({ maxLength: 1024 }),
    email: Type.Optional(EmailAddress),
    ...Type.Partial(Type.Object(Profile)).properties
  }),
  reply: Nothing,
  timeoutMs
} satisfies RpcContract

export const updatePerson = {
  operation: 'auth.updatePerson',
  summary: 'Changes the fields that are given; unknown people are not_found',
  request: Type.Object({
    actor: Actor,
    username: PersonName,
    email: Type.Optional(EmailAddress),
    ...Type.Partial(Type.Object(Profile)).properties
  }),
  reply: Nothing,
  timeoutMs
} satisfies RpcContract

export const deletePerson = {
  operation: 'auth.deletePerson',
  summary: 'Unknown people are not_found; super admins, and oneself, are invalid_state',
  request: Type.Object({ actor: Actor, username: PersonName }),
  reply: Nothing,
  timeoutMs
} satisfies RpcContract

export const changePersonPassword = {
  operation: 'auth.changePersonPassword',
  summary: 'Unknown people are not_found, a wrong old password is bad_credentials; every token of the person ends',
  request: Type.Object({
    actor: Actor,
    username: PersonName,
    old: Type.String({ maxLength: 1024 }),
    new: Type.String({ maxLength: 1024 })
  }),
  reply: Nothing,
  timeoutMs
} satisfies RpcContract

export const peopleRpcs: readonly RpcContract[] = [
  listPeople,
  getPerson,
  createPerson,
  updatePerson,
  deletePerson,
  changePersonPassword
]
