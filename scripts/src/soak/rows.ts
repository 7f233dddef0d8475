import type { Session } from '@fleetgate/testkit'
import { post } from '../demo/client.js'
import type { Database } from './database.js'

/** What was acknowledged of one entity: the value at each moment. */
export type Acknowledged = Map<number, number>

export interface Row {
  at: number
  value: number
}

export function keyOf(device: string): string {
  return `mqtt-device.device.${device}.wind`
}

export async function entityIdOf(session: Session, key: string): Promise<string | undefined> {
  type Found = { data: { content: { entity_id: string }[] } }
  const found = await post<Found>(session, '/entity/search', { entity_keys: [key] })
  return found.data.content[0]?.entity_id
}

export async function rowsOf(session: Session, database: Database, key: string): Promise<Row[]> {
  const entityId = await entityIdOf(session, key)
  if (!entityId) throw new Error(`no entity ${key}`)
  const rows = await database.of('devices', 'history').find({ tenantId: 'default', entityId }).toArray()
  return rows.map(({ at, value }) => ({ at: Number(at), value: Number(value) }))
}
