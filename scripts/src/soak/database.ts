import { openStore } from '@fleetgate/store'
import { quietLog } from '@fleetgate/testkit'

/** The documents of all services, past the product: what it says of itself is only half of the truth. */
export type Database = Awaited<ReturnType<typeof openDatabase>>

export async function openDatabase(mongoUri: string) {
  const store = await openStore({ uri: mongoUri, database: 'fleetgate_soak', log: quietLog })
  const client = store.connection.getClient()
  return {
    /** A collection of one service. */
    of: (service: string, collection: string) => client.db(`fleetgate_${service}`).collection(collection),

    /** Each collection of each service. */
    async all() {
      const { databases } = await client.db('admin').admin().listDatabases()
      const names = databases.map(({ name }) => name).filter((name) => name.startsWith('fleetgate_'))
      const collections = names.map(async (name) => {
        const db = client.db(name)
        return (await db.listCollections().toArray()).map((one) => db.collection(one.name))
      })
      return (await Promise.all(collections)).flat()
    },

    close: () => store.close()
  }
}
