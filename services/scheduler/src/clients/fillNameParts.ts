import type { Log } from '@fleetgate/kit'
import { namePartsOf } from './client.js'
import type { ClientStore } from './clientStore.js'

const batchSize = 1000

/** Clients written by versions that kept no parts of names get them; done again it does nothing. */
export async function fillNameParts({ collection }: Pick<ClientStore, 'collection'>, log: Log): Promise<void> {
  const lacking = { $or: [{ nameParts: { $exists: false } }, { usernameParts: { $exists: false } }] }
  for (let filled = 0; ; ) {
    const found = await collection
      .find(lacking, { projection: { mqttClientId: 1, username: 1 } })
      .limit(batchSize)
      .toArray()
    if (found.length === 0) {
      if (filled > 0) log.info({ clients: filled }, 'clients made ready for searches')
      return
    }
    const writes = found.map(({ _id, mqttClientId, username = '' }) => ({
      // Whoever writes another name meanwhile writes its parts too.
      updateOne: {
        filter: { _id, mqttClientId, ...(username === '' ? {} : { username }) },
        update: { $set: namePartsOf({ mqttClientId, username }) }
      }
    }))
    await collection.bulkWrite(writes, { ordered: false })
    filled += found.length
  }
}
