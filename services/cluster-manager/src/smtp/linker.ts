import {
  EmailAddress,
  linkerPaging,
  linkerRange,
  oneOf,
  type Route,
  route,
  type Static,
  Type,
  toLinkerPage
} from '@fleetgate/kit'
import { ById, toTime } from '../linkerFields.js'
import { type Smtp, type SmtpDraft, type SmtpServer, securities } from './smtp.js'
import type { SmtpFilter } from './smtpStore.js'

/** One line, no blanks at its ends. */
const Line = (maxLength: number) =>
  Type.String({ minLength: 1, maxLength, pattern: '^[^\\s\\p{Cc}](?:[^\\p{Cc}]*[^\\s\\p{Cc}])?$' })

const Draft = Type.Object({
  name: Line(255),
  address: Type.String({ minLength: 1, maxLength: 253 }),
  passwd: Type.Optional(Type.String({ maxLength: 1024, pattern: '^[^\\p{Cc}]*$' })),
  // Ours from here on.
  port: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535 })),
  security: Type.Optional(oneOf(securities)),
  from: Type.Optional(EmailAddress),
  ca_cert: Type.Optional(Type.String({ minLength: 1, maxLength: 16_384 }))
})

const sorts = ['name', 'address', 'time_create', 'time_update'] as const
const sortFields = { name: 'name', address: 'address', time_create: 'createdAt', time_update: 'updatedAt' } as const
const Search = Type.Object({
  ...linkerPaging,
  address: Type.Optional(Type.String({ maxLength: 253 })),
  sort: Type.Optional(oneOf(sorts.flatMap((name) => [name, `-${name}`])))
})

const Reply = Type.Object({
  _id: Type.String(),
  name: Type.String(),
  address: Type.String(),
  /** In the place of `passwd`, which is never told. */
  has_passwd: Type.Boolean(),
  port: Type.Integer(),
  security: oneOf(securities),
  from: Type.String(),
  ca_cert: Type.Optional(Type.String()),
  tenant_id: Type.String(),
  time_create: Type.String(),
  time_update: Type.String()
})

export function smtpRoutes(smtp: Smtp): Route[] {
  return [...readRoutes(smtp), ...changeRoutes(smtp)]
}

function readRoutes(smtp: Smtp): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/smtp',
      summary: 'List the SMTP servers of the tenant, without their passwords',
      needs: 'smtp.view',
      query: Search,
      reply: Type.Array(Reply),
      handle: async ({ query, caller }) => {
        const found = await smtp.list(toFilter(query), linkerRange(query), caller)
        return toLinkerPage(query, { items: found.items.map(toReply), total: found.total })
      }
    }),
    route({
      method: 'get',
      path: '/v1/smtp/:id',
      summary: 'Read one SMTP server, without its password',
      needs: 'smtp.view',
      params: ById,
      reply: Reply,
      handle: async ({ params, caller }) => toReply(await smtp.get(params.id, caller))
    })
  ]
}

function changeRoutes(smtp: Smtp): Route[] {
  return [
    route({
      method: 'post',
      path: '/v1/smtp',
      summary: 'Add an SMTP server through which mails of the tenant go out',
      needs: 'smtp.edit',
      body: Draft,
      reply: Reply,
      handle: async ({ body, caller }) => toReply(await smtp.add(toDraft(body), caller))
    }),
    route({
      method: 'put',
      path: '/v1/smtp/:id',
      summary: 'Replace an SMTP server; without passwd the kept one stays',
      needs: 'smtp.edit',
      params: ById,
      body: Draft,
      reply: Type.Object({ created: Type.Boolean(), url: Type.String() }),
      handle: async ({ params, body, caller }) => {
        await smtp.replace(params.id, toDraft(body), caller)
        return { created: false, url: `/v1/smtp/${params.id}` }
      }
    }),
    route({
      method: 'delete',
      path: '/v1/smtp/:id',
      summary: 'Delete an SMTP server',
      needs: 'smtp.edit',
      params: ById,
      reply: Type.Null(),
      handle: async ({ params, caller }) => {
        await smtp.remove(params.id, caller)
        return null
      }
    })
  ]
}

function toDraft({ name, address, passwd, port, security, from, ca_cert }: Static<typeof Draft>): SmtpDraft {
  return { name, address, password: passwd, port, security, from, caCert: ca_cert }
}

function toFilter({ address, sort = 'time_create' }: Static<typeof Search>): SmtpFilter {
  const field = sort.replace('-', '') as keyof typeof sortFields
  return { address, sort: { field: sortFields[field], direction: sort.startsWith('-') ? -1 : 1 } }
}

function toReply(server: SmtpServer): Static<typeof Reply> {
  const { id, name, address, hasPassword, port, security, from, caCert } = server
  return {
    _id: id,
    name,
    address,
    has_passwd: hasPassword,
    port,
    security,
    from,
    ...(caCert === undefined ? {} : { ca_cert: caCert }),
    tenant_id: server.tenantId,
    time_create: toTime(server.createdAt),
    time_update: toTime(server.updatedAt)
  }
}
