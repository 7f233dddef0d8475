import { type Bus, listNames, type Static, type Subscription } from '@fleetgate/kit'
import type { DashboardStore } from '../dashboards/dashboardStore.js'
import type { DeviceStore } from '../devices/deviceStore.js'
import type { EntityStore } from '../entities/entityStore.js'
import { integrationsNamed, type Registry } from '../integrations/registry.js'
import type { WorkflowStore } from '../workflows/workflowStore.js'

type Question = Static<typeof listNames.request>
type Answer = Static<typeof listNames.reply>
type Found = Omit<Answer, 'isKnown'>

export interface NameSources {
  dashboards: Pick<DashboardStore, 'search'>
  devices: Pick<DeviceStore, 'select' | 'count'>
  entities: Pick<EntityStore, 'select' | 'count'>
  registry: Registry
  workflows: Pick<WorkflowStore, 'search'>
}

/** Tells other services the names of what is kept here. */
export function serveNames(bus: Bus, sources: NameSources): Promise<Subscription> {
  return bus.serve(listNames, (question) => answer(question, sources))
}

async function answer(question: Question, sources: NameSources): Promise<Answer> {
  switch (question.type) {
    case 'DASHBOARD':
      return { isKnown: true, ...(await sources.dashboards.search(question)) }
    case 'DEVICE':
      return { isKnown: true, ...(await devicesOf(question, sources)) }
    case 'INTEGRATION':
      return { isKnown: true, ...(await integrationsOf(question, sources)) }
    case 'ENTITY':
      return { isKnown: true, ...(await entitiesOf(question, sources)) }
    case 'WORKFLOW':
      return { isKnown: true, ...(await workflowsOf(question, sources)) }
  }
}

async function workflowsOf(question: Question, { workflows }: NameSources): Promise<Found> {
  const { items, total } = await workflows.search(question, question)
  return { total, items: items.map(({ id, name, createdAt, userId }) => ({ id, name, createdAt, userId })) }
}

/** Above a device stands its integration. */
async function devicesOf(question: Question, { devices, registry }: NameSources): Promise<Found> {
  const keywordIntegrations = integrationsNamed(registry, question.keyword)
  const { items, total } = await devices.select(question.tenantId, { ...question, keywordIntegrations }, question)
  return {
    total,
    items: items.map(({ id, name, createdAt, userId, integration }) => {
      const parentName = registry.find(integration)?.manifest.name ?? integration
      return { id, name, createdAt, userId, parentId: integration, parentName }
    })
  }
}

/** Above an entity stands its device, or else its integration. */
async function entitiesOf(question: Question, { entities, registry }: NameSources): Promise<Found> {
  const { items, total } = await entities.select(question.tenantId, question, question)
  return {
    total,
    items: items.map(({ id, name, createdAt, userId, integration, deviceId, deviceName }) => {
      const integrationName = registry.find(integration)?.manifest.name ?? integration
      const above = { parentId: deviceId ?? integration, parentName: deviceName ?? integrationName }
      return { id, name, createdAt, ...(userId ? { userId } : {}), ...above }
    })
  }
}

/** Those that people see, in order of their ids. */
async function integrationsOf(question: Question, { devices, entities, registry }: NameSources): Promise<Found> {
  const { tenantId, ids, parentIds, exceptIds = [], keyword = '', offset, limit } = question
  const text = keyword.toLowerCase()
  const found = registry.all
    .map(({ manifest }) => manifest)
    .filter(({ id, isHidden }) => !isHidden && !exceptIds.includes(id) && (!(ids || parentIds) || ids?.includes(id)))
    .filter(({ name }) => name.toLowerCase().includes(text))
  const items = found.slice(offset, offset + limit).map(async ({ id, name }) => ({
    id,
    name,
    deviceCount: await devices.count(tenantId, id),
    entityCount: await entities.count(tenantId, id)
  }))
  return { total: found.length, items: await Promise.all(items) }
}
