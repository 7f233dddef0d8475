import {
  BeaverPage,
  beaverPaging,
  beaverRange,
  may,
  oneOf,
  type Route,
  recordOf,
  route,
  type Static,
  Type,
  toBeaverPage
} from '@fleetgate/kit'
import { ById, NumericId } from '../beaverIds.js'
import { type Credential, type CredentialChange, type Credentials, credentialTypes } from './credential.js'

// Credentials are used in workflows: whoever edits those may look after them too.
const viewing = ['credentials.view', 'credentials.edit', 'workflow.view', 'workflow.edit'] as const
const editing = ['credentials.edit', 'workflow.edit'] as const

const Secret = Type.String({ minLength: 1, maxLength: 1024 })
const Fields = {
  description: Type.Optional(Type.String({ maxLength: 255 })),
  access_key: Type.Optional(Type.String({ maxLength: 255 })),
  additional_data: Type.Optional(
    Type.Unsafe<string | Record<string, unknown> | null>({ type: ['string', 'object', 'null'], maxLength: 10_000 })
  )
}
const Draft = Type.Object({ ...Fields, credentials_type: oneOf(credentialTypes), access_secret: Secret })
const Change = Type.Object({ ...Fields, access_secret: Type.Optional(Secret) })

/** Without the secret, which is not shown again. */
const Reply = Type.Object({
  id: Type.String(),
  tenant_id: Type.String(),
  credentials_type: oneOf(credentialTypes),
  description: Type.String(),
  access_key: Type.String(),
  /** Of a default one that was made here, for those who may change it: nobody could know it otherwise. */
  access_secret: Type.Optional(Type.String()),
  additional_data: Type.Optional(recordOf(Type.Unknown())),
  editable: Type.Boolean(),
  created_at: Type.Integer(),
  updated_at: Type.Integer()
})

export function credentialRoutes(credentials: Credentials): Route[] {
  return [
    route({
      method: 'get',
      path: '/credentials',
      summary: 'Credentials, newest first; never with their secrets',
      needs: viewing,
      query: Type.Object({
        credentials_type: Type.Optional(oneOf(credentialTypes)),
        page_number: beaverPaging.page_number,
        page_size: beaverPaging.page_size
      }),
      reply: BeaverPage(Reply),
      handle: async ({ query, caller }) => {
        const { items, total } = await credentials.search({ type: query.credentials_type }, beaverRange(query), caller)
        return toBeaverPage(query, { items: items.map(toReply), total })
      }
    }),
    route({
      method: 'post',
      path: '/credentials',
      summary: 'Keep a user name and a secret for workflows; of the type MQTT they are a user of the broker',
      needs: editing,
      body: Draft,
      reply: Type.Object({ id: Type.String(), access_key: Type.String() }),
      handle: async ({ body, caller }) => {
        const { credentials_type: type, access_secret: accessSecret } = body
        const { description = '', accessKey = '', additionalData = {} } = toChange(body)
        const made = await credentials.add({ type, accessSecret, description, accessKey, additionalData }, caller)
        return { id: made.id, access_key: made.accessKey }
      }
    }),
    route({
      method: 'post',
      path: '/credentials/delete',
      summary: 'Delete credentials',
      needs: editing,
      body: Type.Object({ ids: Type.Array(NumericId, { minItems: 1, maxItems: 1000 }) }),
      handle: ({ body, caller }) => credentials.remove(body.ids.map(String), caller)
    }),
    route({
      method: 'get',
      path: '/credentials/default/:type',
      summary:
        'The credential that is meant where none is named, made where it is not there yet; with its secret for who may edit it',
      needs: viewing,
      params: Type.Object({ type: oneOf(credentialTypes) }),
      query: Type.Object({ auto_generate_password: Type.Optional(Type.Boolean()) }),
      reply: Reply,
      handle: async ({ params, caller }) => {
        const found = await credentials.getDefault(params.type, caller)
        if (!may(caller, editing)) return toReply(found)
        return { ...toReply(found), access_secret: await credentials.secretOf(caller.tenantId, found.id) }
      }
    }),
    route({
      method: 'get',
      path: '/credentials/:id',
      summary: 'One credential, without its secret',
      needs: viewing,
      params: ById,
      reply: Reply,
      handle: async ({ params, caller }) => toReply(await credentials.get(params.id, caller))
    }),
    route({
      method: 'put',
      path: '/credentials/:id',
      summary: 'Change a credential; a secret that is left out stays',
      needs: editing,
      params: ById,
      body: Change,
      handle: ({ params, body, caller }) =>
        credentials.update(params.id, { ...toChange(body), accessSecret: body.access_secret }, caller)
    })
  ]
}

function toChange({ description, access_key, additional_data }: Static<typeof Change>): CredentialChange {
  return { description, accessKey: access_key, additionalData: toData(additional_data) }
}

/** Clients send it as an object or as the text of one. */
function toData(given: Static<typeof Change>['additional_data']): Record<string, unknown> | undefined {
  if (given === undefined || given === null) return undefined
  if (typeof given === 'object') return given
  try {
    const value: unknown = JSON.parse(given)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : { value }
  } catch {
    return { value: given }
  }
}

function toReply(credential: Credential): Static<typeof Reply> {
  return {
    id: credential.id,
    tenant_id: credential.tenantId,
    credentials_type: credential.type,
    description: credential.description,
    access_key: credential.accessKey,
    // The web client shows the fields of a mail server where there is none, and of one without fields nothing.
    additional_data: Object.keys(credential.additionalData).length > 0 ? credential.additionalData : undefined,
    editable: credential.isEditable,
    created_at: credential.createdAt,
    updated_at: credential.updatedAt
  }
}
