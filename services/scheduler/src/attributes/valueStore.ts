import type { UpdateQuery } from '@fleetgate/store'
import type { AssignedValue, Client } from '../clients/client.js'
import type { ClientStore } from '../clients/clientStore.js'
import type { Attribute } from './attribute.js'

/** Values that operators assigned to clients. */
export interface ValueStore {
  /** Replaces the values of these attributes; an empty one is taken away. */
  assign(client: Pick<Client, 'tenantId' | 'clientId'>, values: readonly AssignedValue[]): Promise<void>
  clear(tenantId: string, attribute: Pick<Attribute, 'attributeId' | 'attributeName'>): Promise<void>
}

export function createValueStore({ model }: Pick<ClientStore, 'model'>): ValueStore {
  return {
    async assign({ tenantId, clientId }, values) {
      const latest = new Map(values.map((value) => [value.attributeId, value]))
      const ids = [...latest.keys()]
      const kept = [...latest.values()].filter(({ value }) => value !== '')
      const isOther = { $not: { $in: ['$$one.attributeId', ids] } }
      const others = { $filter: { input: { $ifNull: ['$assigned', []] }, as: 'one', cond: isOther } }
      // One write, so that two operators at once do not undo each other.
      const assigned = { $concatArrays: [others, { $literal: kept }] }
      await model.updateOne({ tenantId, clientId }, [{ $set: { assigned } }], { updatePipeline: true })
    },

    async clear(tenantId, { attributeId, attributeName }) {
      const change = { $pull: { assigned: { attributeId } } } as UpdateQuery<Client>
      await model.updateMany({ tenantId, 'assigned.name': attributeName }, change)
    }
  }
}
