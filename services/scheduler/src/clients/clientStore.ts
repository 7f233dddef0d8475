import {
  type Counters,
  containsPattern,
  isWholePart,
  type Page,
  type PageOf,
  pageOf,
  partFilter,
  type Store,
  toConflict
} from '@fleetgate/store'
import { type Model, type mongo, type QueryFilter, Schema } from 'mongoose'
import type { MemberFilter } from '../groups/memberFilter.js'
import type { Rule } from '../groups/rule.js'
import { rangeFilter, type TimeRanges } from '../sdesFields.js'
import { type Client, type ClientDraft, type NameParts, namePartsOf, type Status, statuses } from './client.js'

/** A client as it is written. */
export type StoredClient = Client & NameParts

const clientSchema = new Schema<StoredClient>({
  _id: { type: String, required: true },
  tenantId: { type: String, required: true },
  clientId: { type: Number, required: true },
  mqttClientId: { type: String, required: true },
  nameParts: { type: [String], default: undefined, select: false },
  username: String,
  usernameParts: { type: [String], default: undefined, select: false },
  ip: String,
  enabled: { type: Boolean, required: true },
  role: { type: String, required: true },
  isRoleFixed: Boolean,
  status: { type: String, required: true },
  connectedAt: Number,
  disconnectedAt: Number,
  helloAt: Number,
  version: String,
  attributes: { type: [{ _id: false, name: String, value: String, number: Number }], default: [] },
  assigned: {
    type: [{ _id: false, attributeId: Number, name: String, value: String, number: Number }],
    default: undefined
  },
  groupIds: { type: [Number], default: undefined },
  renamedAt: Number,
  toldAwayAt: Number,
  createdAt: { type: Number, required: true }
})
clientSchema.index({ tenantId: 1, clientId: 1 }, { unique: true })
clientSchema.index({ tenantId: 1, mqttClientId: 1 }, { unique: true })
const byNumber = { tenantId: 1, clientId: 1 } as const
const byName = { tenantId: 1, nameParts: 1 } as const
const byUsername = { tenantId: 1, usernameParts: 1 } as const
clientSchema.index(byName)
clientSchema.index(byUsername)
clientSchema.index({ tenantId: 1, username: 1, clientId: 1 })
clientSchema.index({ tenantId: 1, status: 1, role: 1, clientId: 1 })
clientSchema.index({ status: 1, connectedAt: 1 })
clientSchema.index({ status: 1, enabled: 1, disconnectedAt: 1, toldAwayAt: 1 })
clientSchema.index({ tenantId: 1, enabled: 1, clientId: 1 })
clientSchema.index({ tenantId: 1, connectedAt: 1 })
clientSchema.index({ tenantId: 1, disconnectedAt: 1 })
clientSchema.index({ tenantId: 1, createdAt: 1 })
clientSchema.index({ renamedAt: 1, _id: 1 }, { partialFilterExpression: { renamedAt: { $exists: true } } })
clientSchema.index({ tenantId: 1, groupIds: 1, clientId: 1 })
for (const list of ['attributes', 'assigned']) {
  clientSchema.index({ tenantId: 1, [`${list}.name`]: 1, [`${list}.value`]: 1, [`${list}.number`]: 1 })
}

export interface ClientFilter {
  tenantId: string
  /** Only these: the clients of a job. */
  among?: readonly number[] | undefined
  /** Only those of one of these groups, or whatever else these conditions describe. */
  anyOf?: readonly MemberFilter[] | undefined
  /** Only those that this holds for too. */
  where?: MemberFilter | undefined
  clientId?: number | undefined
  username?: string | undefined
  usernameContain?: string | undefined
  mqttClientIds?: readonly string[] | undefined
  mqttClientIdContain?: string | undefined
  status?: Status | undefined
  enabled?: boolean | undefined
  ranges?: TimeRanges<'connectedAt' | 'disconnectedAt' | 'createdAt'> | undefined
}

/** A filter as callers write it: an attribute still has to be looked up. */
export interface ClientWish extends ClientFilter {
  attribute?: (Pick<Rule, 'property' | 'operation'> & { value: string }) | undefined
}

export type Presence = Pick<Client, 'clientId' | 'mqttClientId' | 'enabled' | 'status'>

export interface ClientStore {
  readonly model: Model<StoredClient>
  readonly collection: mongo.Collection<StoredClient>
  readonly counters: Counters
  insert(tenantId: string, draft: ClientDraft, now: number): Promise<Client>
  find(tenantId: string, clientId: number): Promise<Client | undefined>
  findMany(tenantId: string, clientIds: readonly number[]): Promise<Client[]>
  list(filter: ClientFilter, page: Page): Promise<PageOf<Client>>
  /** Changes what is given; nothing where there is no such client. `now`: when it gets its name, if that is another one. */
  update(tenantId: string, clientId: number, change: Partial<ClientDraft>, now: number): Promise<Client | undefined>
  remove(tenantId: string, clientId: number): Promise<boolean>
  presenceOf(tenantId: string, clientIds: readonly number[]): Promise<Presence[]>
  /** Those whose role a person chose first. */
  onlineServers(tenantId: string): Promise<(Presence & Pick<Client, 'isRoleFixed'>)[]>
  /** Whether an enabled machine, online or not, has the role SERVER because a person chose it. */
  hasChosenServer(tenantId: string): Promise<boolean>
  enabledAmong(tenantId: string, clientIds: readonly number[]): Promise<number[]>
  /** Those of the ids that name no client of the tenant. */
  unknownAmong(tenantId: string, clientIds: readonly number[]): Promise<number[]>
}

export function clientKey(tenantId: string, clientId: number): string {
  return `${tenantId}:${clientId}`
}

const connectionFields = { connectedAt: '', disconnectedAt: '', helloAt: '' }
const taken = 'a client with this mqttClientId exists'
/** So many matches of a search are sorted here. */
const fewMatches = 1000
/** More SERVER machines than this are not looked at for one file. */
const maxServers = 100

export function createClientStore(store: Store, counters: Counters): ClientStore {
  const model = store.model<StoredClient>('clients', clientSchema)
  const presence = { _id: 0, clientId: 1, mqttClientId: 1, enabled: 1, status: 1 } as const

  async function idsOf(filter: Record<string, unknown>): Promise<number[]> {
    const found = await model
      .find(filter as QueryFilter<StoredClient>, { _id: 0, clientId: 1 })
      .sort({ clientId: 1 })
      .lean()
    return found.map(({ clientId }) => clientId)
  }

  /** Where few match a part of a name they are looked up and sorted here; where many do a walk in order soon has a page. */
  async function search(conditions: QueryFilter<StoredClient>, index: Record<string, 1>, page: Page) {
    const few = await model
      .find<Client>(conditions)
      .hint(index)
      .limit(fewMatches + 1)
      .lean<Client[]>()
    if (few.length > fewMatches) return walk(conditions, page, index)
    few.sort((a, b) => a.clientId - b.clientId)
    return { items: few.slice(page.offset, page.offset + page.limit), total: few.length }
  }

  /** In order of their numbers. */
  function walk(conditions: QueryFilter<StoredClient>, page: Page, countHint?: Record<string, 1>) {
    const query = model.find<Client>(conditions).sort('clientId')
    // Without a condition the planner would try every index of the tenant whenever a deep page follows a first one.
    if (!conditions.$and || countHint) query.hint(byNumber)
    return pageOf(query, page, { by: 'clientId', countHint }) as Promise<PageOf<Client>>
  }

  return {
    model,
    collection: model.collection as unknown as mongo.Collection<StoredClient>,
    counters,

    async insert(tenantId, draft, now) {
      const clientId = await counters.next(tenantId, 'client')
      const client: Client = {
        _id: clientKey(tenantId, clientId),
        tenantId,
        clientId,
        ...draft,
        status: 'OFFLINE',
        attributes: [],
        createdAt: now
      }
      await model
        .create({ ...client, ...namePartsOf(client) })
        .catch((error) => toConflict(error, taken, { field: 'mqttClientId' }))
      return client
    },

    find: async (tenantId, clientId) => (await model.findOne({ tenantId, clientId }).lean<Client>()) ?? undefined,
    findMany: (tenantId, clientIds) =>
      model
        .find({ tenantId, clientId: { $in: [...clientIds] } })
        .lean<Client[]>()
        .exec(),
    async list(filter, page) {
      const conditions = toFilter(filter)
      const index = searchIndex(filter, conditions)
      return index ? search(conditions, index, page) : walk(conditions, page)
    },

    async update(tenantId, clientId, change, now) {
      const { mqttClientId } = change
      const written = { $set: { ...change, ...namePartsOf(change) } }
      const set = (more: object, update: object) =>
        model
          .findOneAndUpdate({ tenantId, clientId, ...more }, update, { returnDocument: 'after' })
          .lean<Client>()
          .catch((error) => toConflict(error, taken, { field: 'mqttClientId' }))
      const asBefore = await set(mqttClientId === undefined ? {} : { mqttClientId }, written)
      if (asBefore || mqttClientId === undefined) return asBefore ?? undefined
      // What is known of the connection is about the name that it had.
      const afresh = { $set: { ...written.$set, status: 'OFFLINE', renamedAt: now }, $unset: connectionFields }
      return (await set({ mqttClientId: { $ne: mqttClientId } }, afresh)) ?? undefined
    },

    async remove(tenantId, clientId) {
      return (await model.deleteOne({ tenantId, clientId })).deletedCount > 0
    },

    presenceOf: (tenantId, clientIds) =>
      model
        .find({ tenantId, clientId: { $in: [...clientIds] } }, presence)
        .lean<Presence[]>()
        .exec(),

    onlineServers: (tenantId) =>
      model
        .find({ tenantId, status: 'ONLINE', role: 'SERVER', enabled: true }, { ...presence, isRoleFixed: 1 })
        .sort({ isRoleFixed: -1, clientId: 1 })
        .limit(maxServers)
        .lean<(Presence & Pick<Client, 'isRoleFixed'>)[]>()
        .exec(),

    async hasChosenServer(tenantId) {
      const chosen = { tenantId, status: { $in: [...statuses] }, role: 'SERVER', isRoleFixed: true, enabled: true }
      return (await model.exists(chosen as QueryFilter<StoredClient>)) !== null
    },

    enabledAmong: (tenantId, clientIds) => idsOf({ tenantId, clientId: { $in: [...clientIds] }, enabled: true }),

    async unknownAmong(tenantId, clientIds) {
      const known = new Set(await idsOf({ tenantId, clientId: { $in: [...clientIds] } }))
      return clientIds.filter((id) => !known.has(id))
    }
  }
}

/** Matches nothing where there is no condition: `$or` of an empty list is an error to the database. */
export function anyOf(conditions: readonly MemberFilter[]): Record<string, unknown> {
  return conditions.length > 0 ? { $or: [...conditions] } : { clientId: { $in: [] } }
}

/** The index for a search for nothing but a part of a name. */
function searchIndex(filter: ClientFilter, { $and: parts }: QueryFilter<StoredClient>): Record<string, 1> | undefined {
  if (parts?.length !== 1) return undefined
  if (filter.mqttClientIdContain !== undefined) return { ...byName }
  return filter.usernameContain === undefined ? undefined : { ...byUsername }
}

function contains(field: 'mqttClientId' | 'username', parts: keyof NameParts, text: string): Record<string, unknown> {
  return { [parts]: partFilter(text), ...(isWholePart(text) ? {} : { [field]: containsPattern(text) }) }
}

function toFilter(filter: ClientFilter): QueryFilter<StoredClient> {
  const { tenantId, among, clientId, username, usernameContain, mqttClientIds, mqttClientIdContain, status, enabled } =
    filter
  const parts: Record<string, unknown>[] = []
  if (among) parts.push({ clientId: { $in: [...among] } })
  if (filter.anyOf) parts.push(anyOf(filter.anyOf))
  if (filter.where) parts.push(filter.where)
  if (clientId !== undefined) parts.push({ clientId })
  if (username !== undefined) parts.push({ username })
  if (usernameContain !== undefined) parts.push(contains('username', 'usernameParts', usernameContain))
  if (mqttClientIds !== undefined) parts.push({ mqttClientId: { $in: [...mqttClientIds] } })
  if (mqttClientIdContain !== undefined) parts.push(contains('mqttClientId', 'nameParts', mqttClientIdContain))
  if (status !== undefined) parts.push({ status })
  if (enabled !== undefined) parts.push({ enabled })
  if (filter.ranges && Object.keys(filter.ranges).length > 0) parts.push(rangeFilter(filter.ranges))
  return { tenantId, ...(parts.length > 0 ? { $and: parts } : {}) } as QueryFilter<StoredClient>
}
