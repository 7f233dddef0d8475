import type { Client } from './client.js'
import type { ClientStore } from './clientStore.js'

export interface RenamesDeps {
  clients: Pick<ClientStore, 'model'>
  /** What is open for a client is for the machine of this name from now on; answers how much was not. */
  rename: (tenantId: string, clientId: number, mqttClientId: string) => Promise<number>
  release: (tenantId: string, mqttClientIds: string[], inMs: number) => Promise<void>
  now: () => number
}

type Renamed = Required<Pick<Client, 'tenantId' | 'clientId' | 'mqttClientId' | 'renamedAt'>>

/** Longer than any request that renames may still be at work: until then its writes are looked after. */
const watchedMs = 60_000
const pageSize = 200

/**
 * A client and what is open for it are written one after the other: where a process dies between the two, or two requests
 * name a client at the same time, the name that stands in the client is carried over here.
 */
export function createRenames({ clients: { model }, rename, release, now }: RenamesDeps) {
  const find = (after: string) =>
    model
      .find({ renamedAt: { $gt: 0 }, _id: { $gt: after } }, { tenantId: 1, clientId: 1, mqttClientId: 1, renamedAt: 1 })
      .sort({ _id: 1 })
      .limit(pageSize)
      .lean<(Renamed & { _id: string })[]>()

  async function carry({ tenantId, clientId, mqttClientId, renamedAt }: Renamed): Promise<void> {
    if ((await rename(tenantId, clientId, mqttClientId)) > 0) await release(tenantId, [mqttClientId], 0)
    if (now() - renamedAt < watchedMs) return
    await model.updateOne({ tenantId, clientId, mqttClientId, renamedAt }, { $unset: { renamedAt: '' } })
  }

  return {
    /** Every replica does it: what is carried over already stays as it is. */
    async sweep(): Promise<void> {
      let page: (Renamed & { _id: string })[] = []
      do {
        page = await find(page.at(-1)?._id ?? '')
        for (const one of page) await carry(one)
      } while (page.length === pageSize)
    }
  }
}
