import type { Reply, Session } from '@fleetgate/testkit'

export interface Page<T> {
  page_size: number
  page_number: number
  total: number
  content: T[]
}

export interface ListedDevice {
  group_name?: string
  id: string
  key: string
  name: string
  integration: string
  additional_data: Record<string, unknown>
  created_at: number
  updated_at: number
  integration_name: string
  deletable: boolean
  identifier: string
}

export interface DeviceDetail extends ListedDevice {
  entities: { id: string; key: string; name: string; type: string; value_attribute: object; value_type: string }[]
}

export interface ListedEntity {
  entity_id: string
  entity_key: string
  entity_name: string
  entity_type: string
  entity_value_type: string
  entity_parent_name?: string
  device_name?: string
  integration_name?: string
  entity_latest_value?: unknown
}

export interface IntegrationDetail {
  id: string
  name: string
  integration_entities: { id: string; key: string; parent?: string; type: string; value?: unknown }[]
}

/** The data of a success; anything else fails the test. */
export function dataOf<T>({ status, body, text }: Reply<{ data: T }>): T {
  if (status !== 200) throw new Error(`HTTP ${status} ${text}`)
  return body.data
}

const ipKey = 'ping.integration.add_device.ip'

export async function addPing(session: Session, name: string, ip: string): Promise<DeviceDetail> {
  dataOf(await session.post('/device', { name, integration: 'ping', param_entities: { [ipKey]: ip } }))
  const { content } = await searchDevices(session, { name })
  const found = content.find((device) => device.additional_data.ip === ip)
  if (!found) throw new Error(`${name} is not there`)
  return getDevice(session, found.id)
}

export async function searchDevices(session: Session, wish: object = {}): Promise<Page<ListedDevice>> {
  return dataOf(await session.post('/device/search', wish))
}

export async function getDevice(session: Session, id: string): Promise<DeviceDetail> {
  return dataOf(await session.get(`/device/${id}`))
}

export async function searchEntities(session: Session, wish: object = {}): Promise<Page<ListedEntity>> {
  return dataOf(await session.post('/entity/search', wish))
}

let made = 0

/** A custom entity; a PROPERTY of DOUBLE where nothing else is said. Answers its id. */
export async function addEntity(session: Session, draft: object = {}): Promise<string> {
  made += 1
  const own = {
    identifier: `own${made}`,
    name: `Own ${made}`,
    type: 'PROPERTY',
    access_mod: 'RW',
    value_type: 'DOUBLE'
  }
  return dataOf<{ id: string }>(await session.post('/entity', { ...own, ...draft })).id
}
