import {
  EmailAddress,
  type FunctionCode,
  maxRecipients,
  type Route,
  route,
  type Static,
  type TSchema,
  Type
} from '@fleetgate/kit'
import { nullable } from '../sdesFields.js'
import type { AllSettings, Settings, SettingsPart } from './settings.js'

/** One document per tenant: the ids of the document have nothing to count. */
const onlyId = 1
const Zone = Type.String({ minLength: 1, maxLength: 64 })
const Flag = Type.Boolean()
const Count = (maximum: number) => Type.Integer({ minimum: 0, maximum })

const fields = {
  general: {
    managementServerTimeZone: Zone,
    communicationServerTimeZone: Zone,
    region: Type.String({ maxLength: 256 }),
    adminTimeOut: Type.Number({ minimum: 0, maximum: 525_600 }),
    /** Ours. */
    alertMailTo: Type.Array(EmailAddress, { maxItems: maxRecipients, uniqueItems: true })
  },
  jobs: {
    enable: Flag,
    maxRetried: Count(10),
    retryWait: Count(86_400),
    maxConcurrentSession: Count(1_000_000)
  },
  tasks: {
    enable: Flag,
    priority: Type.Integer({ minimum: -1_000_000, maximum: 1_000_000 }),
    disableValidation: Flag
  },
  clients: {
    autoEnableNewClient: Flag,
    /** Ours. */
    selfDeclaredServers: Flag
  }
} satisfies { [P in SettingsPart]: { [F in keyof AllSettings[P]]: unknown } }

interface Place {
  part: SettingsPart
  path: string
  what: string
  view: FunctionCode
  edit: FunctionCode
  /** The document's names of the settings' own id. */
  ids: Record<string, number | string>
}

const places: Place[] = [
  { part: 'general', path: '/v1/settings', what: 'general settings', view: 'job.view', edit: 'job.edit', ids: {} },
  {
    part: 'jobs',
    path: '/v1/jobs/settings',
    what: 'settings of new jobs',
    view: 'job.view',
    edit: 'job.edit',
    ids: { jobsSettingId: onlyId }
  },
  {
    part: 'tasks',
    path: '/v1/tasks/settings',
    what: 'settings of new tasks',
    view: 'job.view',
    edit: 'job.edit',
    // The document names it after jobs in one place, and makes it text in the other.
    ids: { jobsSettingId: onlyId, tasksSettingId: String(onlyId) }
  },
  {
    part: 'clients',
    path: '/v1/clients/settings',
    what: 'settings of new clients',
    view: 'client.view',
    edit: 'client.edit',
    ids: { clientSettingsId: onlyId }
  }
]

export function settingsRoutes(settings: Settings): Route[] {
  return places.flatMap((place) => routesOf(settings, place))
}

function routesOf(settings: Settings, { part, path, what, view, edit, ids }: Place): Route[] {
  const shape: Record<string, TSchema> = fields[part]
  const names = Object.keys(shape)
  const idShape = Object.entries(ids).map(([name, id]) => [
    name,
    typeof id === 'number' ? Type.Integer() : Type.String()
  ])
  const Reply = Type.Object({ ...shape, ...Object.fromEntries(idShape) })
  const Change = Type.Object(
    Object.fromEntries(names.map((name) => [name, Type.Optional(nullable(shape[name] ?? Type.Null()))]))
  )

  const toReply = (found: object) => ({ ...found, ...ids }) as Static<typeof Reply>
  return [
    route({
      method: 'get',
      path,
      summary: `Read the ${what}`,
      needs: view,
      reply: Reply,
      handle: async ({ caller }) => toReply(await settings.get(caller.tenantId, part))
    }),
    route({
      method: 'post',
      path,
      summary: `Change the ${what}; what is absent stays`,
      needs: edit,
      body: Change,
      reply: Reply,
      handle: async ({ body, caller }) => {
        const wanted = body as Record<string, unknown>
        const given = names.filter((name) => wanted[name] != null).map((name) => [name, wanted[name]])
        return toReply(await settings.change(caller.tenantId, part, Object.fromEntries(given)))
      }
    })
  ]
}
