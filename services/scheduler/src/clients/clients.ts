import { AppError } from '@fleetgate/kit'
import type { Page, PageOf } from '@fleetgate/store'
import type { AttributeStore } from '../attributes/attributeStore.js'
import { goneMessage } from '../executions/execution.js'
import { attributeFilter } from '../groups/memberFilter.js'
import type { Halts } from '../runs/halts.js'
import type { Client, ClientDraft } from './client.js'
import type { ClientStore, ClientWish } from './clientStore.js'

export interface ClientsDeps {
  store: ClientStore
  attributes: AttributeStore
  now: () => number
  /** Takes a client out of the jobs that it is bound to. */
  unbind: (tenantId: string, clientId: number) => Promise<void>
  release: (tenantId: string, mqttClientIds: string[], inMs: number) => Promise<void>
  /** What is open for a client is for the machine of this name from now on. */
  rename: (tenantId: string, clientId: number, mqttClientId: string) => Promise<unknown>
  halts: Pick<Halts, 'order' | 'withdraw'>
}

const disabled = 'the machine was disabled'

export interface Clients {
  register(tenantId: string, draft: ClientDraft): Promise<Client>
  get(tenantId: string, clientId: number): Promise<Client>
  list(filter: ClientWish, page: Page): Promise<PageOf<Client>>
  change(tenantId: string, clientId: number, change: Partial<ClientDraft>): Promise<void>
  retire(tenantId: string, clientId: number): Promise<void>
}

export function createClients({ store, attributes, now, unbind, release, rename, halts }: ClientsDeps): Clients {
  return {
    register: (tenantId, draft) => store.insert(tenantId, draft, now()),

    async get(tenantId, clientId) {
      return (await store.find(tenantId, clientId)) ?? missing(clientId)
    },

    async list({ attribute, ...filter }, page) {
      if (!attribute) return store.list(filter, page)
      const { property, operation, value } = attribute
      const defaults = await attributes.defaultsOf(filter.tenantId, [property])
      const rule = { property, operation, operands: [value] }
      return store.list({ ...filter, where: attributeFilter(rule, defaults.get(property)) }, page)
    },

    async change(tenantId, clientId, change) {
      const client = (await store.update(tenantId, clientId, change, now())) ?? missing(clientId)
      const { mqttClientId, status } = client
      // One that is away has not begun what it has not confirmed; that waits until it may work again.
      const atWork = status === 'ONLINE' ? undefined : (['RUNNING'] as const)
      if (change.mqttClientId !== undefined) await rename(tenantId, clientId, mqttClientId)
      if (change.enabled === false) await halts.order({ tenantId, mqttClientId }, disabled, atWork)
      if (!change.enabled) return
      await halts.withdraw(tenantId, mqttClientId, disabled)
      await release(tenantId, [mqttClientId], 0)
    },

    async retire(tenantId, clientId) {
      const client = (await store.find(tenantId, clientId)) ?? missing(clientId)
      await unbind(tenantId, clientId)
      await halts.order({ tenantId, mqttClientId: client.mqttClientId }, goneMessage)
      if (!(await store.remove(tenantId, clientId))) missing(clientId)
      // What waited for it is due now, and found to wait in vain.
      await release(tenantId, [client.mqttClientId], 0)
    }
  }
}

function missing(clientId: number): never {
  throw new AppError('not_found', `client ${clientId} not found`)
}
