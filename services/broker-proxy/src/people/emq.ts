import {
  AppError,
  changePersonPassword,
  createPerson,
  deletePerson,
  getPerson,
  type PersonData,
  type Static,
  Type,
  UserName,
  updatePerson,
  verifyBasic
} from '@fleetgate/contracts'
import { type Route, route } from '@fleetgate/kit'
import { localTime } from '../clients/localTime.js'
import { type Ask, actorOf, coded, everybody } from './asked.js'

const Person = Type.Object({
  username: Type.String(),
  email: Type.String(),
  role: Type.String(),
  remark: Type.String(),
  /** EMQ 2.3's only field beside the name. */
  tags: Type.String(),
  created_at: Type.String()
})
/** Nobody is an empty list. */
const FoundPerson = Type.Union([Person, Type.Array(Type.Unknown(), { maxItems: 0 })])

const Password = Type.String({ maxLength: 1024 })
/** An empty address counts as none: the original's console sends one. */
const Email = Type.Unsafe<string>({
  type: 'string',
  maxLength: 255,
  anyOf: [{ maxLength: 0 }, { minLength: 5, format: 'email' }]
})
const Described = {
  email: Type.Optional(Email),
  role: Type.Optional(Type.String({ maxLength: 127 })),
  remark: Type.Optional(Type.String({ maxLength: 255 })),
  tags: Type.Optional(Type.String({ maxLength: 255 }))
}
const ByName = Type.Object({ username: Type.String({ minLength: 1, maxLength: 320 }) })

/** EMQ REST v2, "users": people, who live in auth. Both generations' fields and password routes. */
export function emqPeopleRoutes(bus: Ask): Route[] {
  return [signInRoute(bus), ...readRoutes(bus), ...passwordRoutes(bus), ...changeRoutes(bus)]
}

function signInRoute(bus: Ask): Route {
  return route({
    method: 'post',
    path: '/api/v2/auth',
    summary: 'Whether a user name and password are right',
    needs: 'public',
    body: Type.Object({ username: Type.String({ maxLength: 320 }), password: Password }),
    handle: async ({ body: { username, password }, request }) => {
      if (username === '' || password === '') throw empty()
      await bus.request(verifyBasic, { username, password, address: request.address })
    }
  })
}

function readRoutes(bus: Ask): Route[] {
  return [
    route({
      method: 'get',
      path: '/api/v2/users',
      summary: 'The people of your tenant',
      needs: 'broker.view',
      reply: Type.Array(Person),
      handle: async ({ caller }) => (await everybody(bus, caller.tenantId)).map(toReply)
    }),
    route({
      method: 'get',
      path: '/api/v2/users/:username',
      summary: 'One person by user name or e-mail address',
      needs: 'broker.view',
      params: ByName,
      reply: FoundPerson,
      handle: async ({ params, caller }) => {
        const { person } = await bus.request(getPerson, { tenantId: caller.tenantId, username: params.username })
        return person ? toReply(person) : []
      }
    })
  ]
}

/** They stand before `PUT /users/{username}`, which would take the word for a name. */
function passwordRoutes(bus: Ask): Route[] {
  return [
    route({
      method: 'put',
      path: '/api/v2/users/change_pwd',
      summary: 'Change a password (2.1); every token of the person ends',
      needs: 'broker.edit',
      body: Type.Object({
        username: ByName.properties.username,
        old_pwd: Password,
        new_pwd: Password,
        confirm_pwd: Password
      }),
      handle: async ({ body: { username, old_pwd, new_pwd, confirm_pwd }, caller, request }) => {
        if (new_pwd !== confirm_pwd) throw differ()
        const wish = { actor: actorOf(caller, request), username, old: old_pwd, new: new_pwd }
        await coded(bus.request(changePersonPassword, wish))
      }
    }),
    route({
      method: 'put',
      path: '/api/v2/change_pwd/:username',
      summary: 'Change a password (2.3); every token of the person ends',
      needs: 'broker.edit',
      params: ByName,
      body: Type.Object({ old_pwd: Password, new_pwd: Password }),
      handle: async ({ params: { username }, body: { old_pwd, new_pwd }, caller, request }) => {
        const wish = { actor: actorOf(caller, request), username, old: old_pwd, new: new_pwd }
        await coded(bus.request(changePersonPassword, wish))
      }
    })
  ]
}

function changeRoutes(bus: Ask): Route[] {
  return [
    route({
      method: 'post',
      path: '/api/v2/users',
      summary: 'Create a person without roles',
      needs: 'broker.edit',
      body: Type.Object({ username: UserName, password: Password, ...Described }),
      handle: async ({ body: { username, password, ...described }, caller, request }) => {
        const draft = { actor: actorOf(caller, request), username, password, ...fieldsOf(described) }
        await coded(bus.request(createPerson, draft))
      }
    }),
    route({
      method: 'put',
      path: '/api/v2/users/:username',
      summary: 'Change what is kept of a person',
      needs: 'broker.edit',
      params: ByName,
      body: Type.Object(Described),
      handle: async ({ params: { username }, body, caller, request }) => {
        const change = fieldsOf(body)
        if (Object.keys(change).length === 0) throw nothingToChange()
        await coded(bus.request(updatePerson, { actor: actorOf(caller, request), username, ...change }))
      }
    }),
    route({
      method: 'delete',
      path: '/api/v2/users/:username',
      summary: 'Delete a person',
      needs: 'broker.edit',
      params: ByName,
      handle: async ({ params: { username }, caller, request }) => {
        await coded(bus.request(deletePerson, { actor: actorOf(caller, request), username }))
      }
    })
  ]
}

/** By name: what the body holds beyond the schema goes nowhere. */
function fieldsOf({ email, role, remark, tags }: Partial<Record<keyof typeof Described, string>>) {
  return {
    ...(email ? { email } : {}),
    ...(role === undefined ? {} : { role }),
    ...(remark === undefined ? {} : { remark }),
    ...(tags === undefined ? {} : { tags })
  }
}

function empty(): AppError {
  return new AppError('invalid_input', 'username and password must not be empty', { wireCode: 104 })
}

/** 113 is "user exists" in 2.3 and this in 2.1. */
function differ(): AppError {
  return new AppError('invalid_input', 'new_pwd and confirm_pwd differ', { field: 'confirm_pwd', wireCode: 113 })
}

function nothingToChange(): AppError {
  return new AppError('invalid_input', 'params error: email, role, remark or tags is required', { wireCode: 107 })
}

function toReply({ username, email, role, remark, tags, createdAt }: PersonData): Static<typeof Person> {
  return { username, email, role, remark, tags, created_at: localTime(createdAt) }
}
