import { type FunctionCode, functionCodes } from '@fleetgate/kit'
import type { Menu } from './menu.js'

/** Pages: id, code, parent. Ids below 10000 are those of Beaver IoT. */
const pages = [
  ['1000', 'dashboard'],
  ['2000', 'device'],
  ['7000', 'entity'],
  ['3000', 'entity_custom', '7000'],
  ['4000', 'entity_data', '7000'],
  ['5000', 'workflow'],
  ['6000', 'integration'],
  ['7900', 'settings'],
  ['8000', 'credentials', '7900'],
  ['9000', 'tag'],
  ['10000', 'job'],
  ['11000', 'client'],
  ['12000', 'broker'],
  ['13000', 'mqtt_user'],
  ['14000', 'cluster'],
  ['15000', 'key'],
  ['16000', 'tenant'],
  ['17000', 'smtp']
] as const

/** Every function code has an id that never changes; a new code without one does not compile. */
const functionIds = {
  'dashboard.view': '1001',
  'dashboard.add': '1002',
  'dashboard.edit': '1003',
  'dashboard.delete': '1004',
  'device.view': '2001',
  'device.add': '2002',
  'device.edit': '2003',
  'device.delete': '2004',
  'device.group_manage': '2005',
  'entity_custom.view': '3001',
  'entity_custom.add': '3002',
  'entity_custom.edit': '3003',
  'entity_custom.delete': '3004',
  'entity_data.view': '4001',
  'entity_data.edit': '4002',
  'entity_data.export': '4003',
  'workflow.view': '5001',
  'workflow.add': '5002',
  'workflow.edit': '5004',
  'workflow.delete': '5006',
  'integration.view': '6001',
  'credentials.view': '8001',
  'credentials.edit': '8002',
  'entity_tag.view': '9001',
  'entity_tag.manage': '9002',
  'job.view': '10001',
  'job.edit': '10002',
  'job.run': '10003',
  'client.view': '11001',
  'client.edit': '11002',
  'broker.view': '12001',
  'broker.edit': '12002',
  'mqtt_user.view': '13001',
  'mqtt_user.edit': '13002',
  'cluster.view': '14001',
  'cluster.edit': '14002',
  'key.view': '15001',
  'key.edit': '15002',
  'tenant.edit': '16001',
  'smtp.view': '17001',
  'smtp.edit': '17002'
} satisfies Record<FunctionCode, string>

const pageIds = new Map<string, string>(pages.map(([id, code]) => [code, id]))
const codeById = new Map<string, FunctionCode>(functionCodes.map((code) => [functionIds[code], code]))

/** Names are the codes, as in the real system. */
export const seededMenus: readonly Menu[] = [...pages.map(toPage), ...functionCodes.map(toFunction)]

const seededIds = new Set(seededMenus.map(({ id }) => id))
const seededCodes = new Set(seededMenus.map(({ code }) => code))

/** Seeded menus are the same for every tenant and part of the product: nobody changes or deletes them. */
export const isSeeded = (menuId: string) => seededIds.has(menuId)
export const isSeededCode = (code: string) => seededCodes.has(code)

/** What a role with these menus may do: only seeded functions guard anything. */
export function codesOf(menuIds: Iterable<string>): FunctionCode[] {
  return [...menuIds].flatMap((id) => codeById.get(id) ?? [])
}

function toPage([id, code, parentId]: (typeof pages)[number]): Menu {
  return { id, code, name: code, type: 'MENU', ...(parentId ? { parentId } : {}) }
}

function toFunction(code: FunctionCode): Menu {
  return { id: functionIds[code], code, name: code, type: 'FUNCTION', parentId: pageIds.get(pageOf(code)) }
}

/** The page has the name before the dot, but for one. */
function pageOf(code: string): string {
  const name = code.split('.')[0] ?? code
  return name === 'entity_tag' ? 'tag' : name
}
