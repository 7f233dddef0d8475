import type { Client } from './client.js'
import type { ClientStore } from './clientStore.js'

export type AwayClient = Pick<Client, 'tenantId' | 'clientId' | 'mqttClientId'> & { disconnectedAt: number }

/** Clients that are away for long. */
export interface AwayStore {
  /** Enabled clients of every tenant that went away before `before` and of whom nobody was told yet. */
  newlyAway(before: number, limit: number): Promise<AwayClient[]>
  /** Remembers which absence was told of. */
  setTold(clients: readonly AwayClient[]): Promise<void>
  awayAmong(tenantId: string, clientIds: readonly number[]): Promise<number[]>
}

export function createAwayStore({ model }: Pick<ClientStore, 'model'>): AwayStore {
  return {
    newlyAway: (before, limit) =>
      model
        .find({
          status: 'OFFLINE',
          enabled: true,
          disconnectedAt: { $lt: before },
          $expr: { $ne: ['$toldAwayAt', '$disconnectedAt'] }
        })
        .limit(limit)
        .select('tenantId clientId mqttClientId disconnectedAt')
        .lean<AwayClient[]>()
        .exec(),

    async setTold(clients) {
      if (clients.length === 0) return
      await model.bulkWrite(
        clients.map(({ tenantId, clientId, disconnectedAt }) => ({
          updateOne: { filter: { tenantId, clientId }, update: { $set: { toldAwayAt: disconnectedAt } } }
        })),
        { ordered: false }
      )
    },

    async awayAmong(tenantId, clientIds) {
      const filter = { tenantId, clientId: { $in: [...clientIds] }, status: 'OFFLINE' as const, enabled: true }
      return (await model.find(filter, { _id: 0, clientId: 1 }).lean()).map(({ clientId }) => clientId)
    }
  }
}
