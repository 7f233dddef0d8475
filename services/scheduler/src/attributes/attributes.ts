import { AppError } from '@fleetgate/kit'
import type { Page, PageOf } from '@fleetgate/store'
import type { AssignedValue, Client } from '../clients/client.js'
import { type Attribute, type AttributeDraft, checkAttribute, checkValue, toValue } from './attribute.js'
import { type AttributeStore, maxAttributes } from './attributeStore.js'
import type { ValueStore } from './valueStore.js'

export interface AttributesDeps {
  store: AttributeStore
  values: ValueStore
}

/** An attribute as one client has it. `attributeId` 0: the client reports it, and nobody defined it. */
export interface AttributeOfClient extends Omit<Attribute, '_id' | 'tenantId' | 'defaultValue'> {
  value: string
}

export interface Assignment {
  attributeId: number
  /** Empty: what the machine reports, or the default, counts again. */
  value: string
}

export interface Attributes {
  register(tenantId: string, draft: AttributeDraft): Promise<Attribute>
  list(tenantId: string, page: Page): Promise<PageOf<Attribute>>
  /** The values that clients were assigned go with it. */
  retire(tenantId: string, attributeId: number): Promise<void>
  ofClient(client: Client): Promise<AttributeOfClient[]>
  assign(client: Client, assignments: readonly Assignment[]): Promise<void>
}

export function createAttributes({ store, values }: AttributesDeps): Attributes {
  return {
    list: (tenantId, page) => store.list(tenantId, page),

    async register(tenantId, draft) {
      checkAttribute(draft)
      if ((await store.count(tenantId)) >= maxAttributes) {
        throw new AppError('quota_exceeded', `there can be ${maxAttributes} attributes`)
      }
      return store.insert(tenantId, draft)
    },

    async retire(tenantId, attributeId) {
      const attribute = (await store.find(tenantId, attributeId)) ?? missing(attributeId)
      await values.clear(tenantId, attribute)
      if (!(await store.remove(tenantId, attributeId))) missing(attributeId)
    },

    async ofClient(client) {
      return merge(client, await store.all(client.tenantId))
    },

    async assign(client, assignments) {
      const known = new Map((await store.all(client.tenantId)).map((one) => [one.attributeId, one]))
      const set = assignments.map((assignment, i) => checked(assignment, known, i))
      await values.assign(client, set)
    }
  }
}

function checked({ attributeId, value }: Assignment, known: Map<number, Attribute>, i: number): AssignedValue {
  const attribute = known.get(attributeId)
  const field = `${i}.attributeId`
  if (!attribute) throw new AppError('invalid_input', `no such attribute: ${attributeId}`, { field })
  const { attributeName, readOnly, type } = attribute
  if (readOnly) throw new AppError('invalid_input', `attribute ${attributeName} can only be read`, { field })
  if (value !== '') checkValue(type, value, `${i}.attributeValue`)
  return { attributeId, ...toValue(attributeName, value) }
}

/** The defined attributes in order of their number, then what only the machine knows of. */
function merge({ attributes, assigned = [] }: Client, defined: readonly Attribute[]): AttributeOfClient[] {
  const reported = new Map(attributes.map(({ name, value }) => [name, value]))
  const own = new Map(assigned.map(({ attributeId, value }) => [attributeId, value]))
  const names = new Set(defined.map(({ attributeName }) => attributeName))
  return [
    ...defined.map(({ attributeId, attributeName, type, defaultValue, display, readOnly }) => {
      const value = own.get(attributeId) ?? reported.get(attributeName) ?? defaultValue
      return { attributeId, attributeName, type, display, readOnly, value }
    }),
    ...attributes
      .filter(({ name }) => !names.has(name))
      .map(({ name, value }) => {
        return { attributeId: 0, attributeName: name, type: 0, display: true, readOnly: true, value }
      })
  ]
}

function missing(attributeId: number): never {
  throw new AppError('not_found', `attribute ${attributeId} not found`)
}
