import { AppError, type Caller, type CreatorsOf, newNumericId, type UserNames } from '@fleetgate/kit'
import type { EntityStore } from '../entities/entityStore.js'
import type { Grants, Scope } from '../grants/grants.js'
import type { Creation } from '../grants/watchGrants.js'
import type { DashboardStore } from './dashboardStore.js'
import type { DeskStore } from './deskStore.js'
import { type MissingOf, missingAmong } from './missing.js'
import type { ShareStore } from './shareStore.js'

export interface Widget {
  id: string
  /** The client's own; never looked into. */
  data: Record<string, unknown>
}

export interface Dashboard {
  /** A 64-bit number in decimal. */
  id: string
  tenantId: string
  /** Who made it. */
  userId: string
  name: string
  widgets: Widget[]
  /** Counts the changes. */
  revision: number
  /** Epoch ms. */
  createdAt: number
}

export interface WidgetDraft {
  id?: string | undefined
  data: Record<string, unknown>
}

const tries = 5

export type Dashboards = ReturnType<typeof createDashboards>

export interface DashboardsOptions {
  store: DashboardStore
  desks: DeskStore
  shares: Pick<ShareStore, 'removeOf'>
  entities: Pick<EntityStore, 'existing'>
  grants: Pick<Grants, 'scopeOf'>
  /** Grants a new dashboard to the roles of its creator; never rejects. */
  grantNow: (creation: Creation) => Promise<void>
  creatorsOf: CreatorsOf
  max: number
  /** Characters of the widgets of all dashboards of a tenant. */
  maxSize: number
  now: () => number
}

/** Of the others than super admins each sees and changes what a role grants, and what they lack does not exist. */
export function createDashboards(options: DashboardsOptions) {
  const { store, desks, shares, entities, grants, grantNow, creatorsOf, max, maxSize, now } = options

  async function checkScope(id: string, caller: Caller): Promise<void> {
    if (!isInside(id, await grants.scopeOf(caller, 'DASHBOARD'))) throw noSuchDashboard()
  }

  async function find(id: string, caller: Caller): Promise<Dashboard> {
    const found = await store.find(caller.tenantId, id)
    if (!found) throw noSuchDashboard()
    return found
  }

  /** All of them go into one answer, each time somebody looks. Making one smaller is always possible. */
  async function checkSize(was: Dashboard, widgets: Widget[]): Promise<void> {
    const size = sizeOf(widgets)
    if (size <= sizeOf(was.widgets) || size + (await store.sizeOfOthers(was)) <= maxSize) return
    throw new AppError('quota_exceeded', `the widgets of all dashboards have more than ${maxSize} characters`, {
      field: 'widgets'
    })
  }

  return {
    async add(name: string, caller: Caller): Promise<string> {
      // Callers at the same moment may overshoot a little; the bound is there for the size of the list only.
      if ((await store.count(caller.tenantId)) >= max) {
        throw new AppError('quota_exceeded', `there are ${max} dashboards already`)
      }
      const id = newNumericId(now())
      const { tenantId, userId } = caller
      await store.insert({ id, tenantId, userId, name, widgets: [], revision: 0, createdAt: now() })
      if (!caller.isSuperAdmin) await grantNow({ tenantId, userId, resource: { id, type: 'DASHBOARD' } })
      return id
    },

    async list(caller: Caller): Promise<Listed> {
      const { tenantId, userId } = caller
      const { all, ids } = await grants.scopeOf(caller, 'DASHBOARD')
      const items = await store.list(tenantId, max, all ? undefined : ids)
      const [creators, desk, missing] = await Promise.all([
        creatorsOf(
          tenantId,
          items.map((one) => one.userId)
        ),
        desks.find(tenantId, userId),
        missingAmong(
          items.flatMap(({ widgets }) => widgets),
          entities,
          tenantId
        )
      ])
      return { items: arranged(items, desk.order), creators, homeId: desk.homeId, missing }
    },

    /** For the caller alone. Ids that are out of reach are left out. */
    async arrange(order: string[], caller: Caller): Promise<void> {
      const { tenantId, userId } = caller
      const { all, ids } = await grants.scopeOf(caller, 'DASHBOARD')
      const items = await store.list(tenantId, max, all ? undefined : ids)
      const known = new Set(items.map(({ id }) => id))
      await desks.setOrder(
        tenantId,
        userId,
        [...new Set(order)].filter((id) => known.has(id))
      )
    },

    async setHome(id: string, isHome: boolean, caller: Caller): Promise<void> {
      const { tenantId, userId } = caller
      await checkScope(id, caller)
      await find(id, caller)
      if (isHome) await desks.setHome(tenantId, userId, id)
      else await desks.clearHome(tenantId, userId, id)
    },

    /** Replaces name and widgets; of two callers at the same moment the later one wins whole. */
    async update(id: string, change: { name: string; widgets: WidgetDraft[] }, caller: Caller): Promise<void> {
      refuseRepeats(change.widgets)
      await checkScope(id, caller)
      for (let i = 0; i < tries; i++) {
        const was = await find(id, caller)
        const widgets = mergeWidgets(was.widgets, change.widgets, () => newNumericId(now()))
        await checkSize(was, widgets)
        if (await store.replace(was, { name: change.name, widgets })) return
      }
      throw new AppError('conflict', 'the dashboard is being changed by others, try again')
    },

    async remove(id: string, caller: Caller): Promise<void> {
      await checkScope(id, caller)
      if (!(await store.remove(caller.tenantId, id))) throw noSuchDashboard()
      // A link whose dashboard is gone shows nothing; where this does not come to pass it goes when it expires.
      await shares.removeOf(caller.tenantId, id)
    }
  }
}

interface Listed {
  items: Dashboard[]
  creators: UserNames | undefined
  homeId: string | undefined
  missing: MissingOf
}

/** Those that were put in an order, then the others in order of creation. */
function arranged(items: readonly Dashboard[], order: readonly string[]): Dashboard[] {
  const places = new Map(order.map((id, place) => [id, place]))
  const placeOf = ({ id }: Dashboard) => places.get(id) ?? order.length
  return [...items].sort((a, b) => placeOf(a) - placeOf(b))
}

function isInside(id: string, { all, ids }: Scope): boolean {
  return all || ids.has(id)
}

function noSuchDashboard(): AppError {
  return new AppError('not_found', 'there is no such dashboard')
}

/** Characters of the data as JSON. */
export function sizeOf(widgets: readonly Widget[]): number {
  return widgets.reduce((size, { data }) => size + JSON.stringify(data).length, 0)
}

/** The full replace of Beaver: without id new, known id kept, unknown id ignored; what is not named goes. */
export function mergeWidgets(existing: Widget[], drafts: WidgetDraft[], newId: () => string): Widget[] {
  const known = new Set(existing.map(({ id }) => id))
  return drafts
    .filter(({ id }) => id === undefined || known.has(id))
    .map(({ id, data }) => ({ id: id ?? newId(), data }))
}

function refuseRepeats(drafts: WidgetDraft[]): void {
  const seen = new Set<string>()
  for (const { id } of drafts) {
    if (id === undefined) continue
    if (seen.has(id)) throw new AppError('invalid_input', `widget ${id} stands there twice`, { field: 'widgets' })
    seen.add(id)
  }
}
