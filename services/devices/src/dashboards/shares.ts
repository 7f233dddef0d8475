import { createHash, randomBytes } from 'node:crypto'
import { AppError, type Caller, createRateLimit, newNumericId } from '@fleetgate/kit'
import type { Entity } from '../entities/entity.js'
import type { EntityStore } from '../entities/entityStore.js'
import type { Grants } from '../grants/grants.js'
import type { ReachOf } from '../grants/reach.js'
import type { History } from '../history/history.js'
import type { Dashboard } from './dashboard.js'
import type { DashboardStore } from './dashboardStore.js'
import { type MissingOf, missingAmong } from './missing.js'
import { namedByAll } from './named.js'
import type { Share, ShareStore } from './shareStore.js'

export interface SharesOptions {
  store: ShareStore
  dashboards: Pick<DashboardStore, 'find'>
  grants: Pick<Grants, 'scopeOf'>
  entities: Pick<EntityStore, 'findByIds' | 'findByKeys' | 'existing'>
  reachOf: ReachOf
  history: Pick<History, 'search'>
  now: () => number
}

export interface Shown {
  dashboard: Dashboard
  /** Those that the widgets name, with their latest values. */
  entities: Entity[]
}

interface Opened extends Shown {
  maker: Caller
}

export type Shares = ReturnType<typeof createShares>

/** Of one dashboard. */
const maxLinks = 100
const maxLifeMs = 366 * 24 * 60 * 60 * 1000
/** Of one link, whoever uses it. */
const viewing = { perSecond: 20, burst: 100 }
const maxPoints = 1000

/**
 * Links for people without an account. A link shows what its maker may see: the dashboard, and of the entities that its widgets
 * name the values. When the maker loses a right, or goes, the link loses it too.
 */
export function createShares({ store, dashboards, grants, entities, reachOf, history, now }: SharesOptions) {
  const limit = createRateLimit(viewing)

  /** The dashboard, where this caller may see it. */
  async function seen(id: string, caller: Caller): Promise<Dashboard | undefined> {
    const { all, ids } = await grants.scopeOf(caller, 'DASHBOARD')
    return all || ids.has(id) ? dashboards.find(caller.tenantId, id) : undefined
  }

  async function check(id: string, caller: Caller): Promise<void> {
    if (!(await seen(id, caller))) throw new AppError('not_found', 'there is no such dashboard')
  }

  /** Unknown, expired, revoked, and of a dashboard that is gone: all the same to who asks. */
  async function open(token: string): Promise<Opened> {
    const share = await store.findByToken(hashOf(token))
    if (!share || share.expiresAt <= now()) throw noSuchLink()
    const wait = limit.take(share.id, now())
    if (wait > 0) throw new AppError('rate_limited', 'the link is used too often', { retryAfter: wait })
    const maker = makerOf(share)
    const dashboard = await seen(share.dashboardId, maker)
    if (!dashboard) throw noSuchLink()
    return { dashboard, maker, entities: await namedEntities(dashboard, maker) }
  }

  async function namedEntities({ widgets }: Dashboard, maker: Caller): Promise<Entity[]> {
    const { ids, keys } = namedByAll(widgets)
    const reach = await reachOf(maker)
    const [byId, byKey] = await Promise.all([
      ids.size > 0 ? entities.findByIds(maker.tenantId, [...ids], reach) : [],
      keys.size > 0 ? entities.findByKeys(maker.tenantId, [...keys], reach) : []
    ])
    return [...new Map([...byId, ...byKey].map((entity) => [entity.id, entity])).values()]
  }

  return {
    /** Answers the token once; nobody can read it again. */
    async add(dashboardId: string, expiresAt: number, caller: Caller): Promise<{ share: Share; token: string }> {
      await check(dashboardId, caller)
      if (expiresAt <= now() || expiresAt > now() + maxLifeMs) {
        throw new AppError('invalid_input', 'expires_at lies within the next 366 days', { field: 'expires_at' })
      }
      const { tenantId, userId } = caller
      if ((await store.count(tenantId, dashboardId)) >= maxLinks) {
        throw new AppError('quota_exceeded', `there are ${maxLinks} links to this dashboard already`)
      }
      const token = randomBytes(24).toString('base64url')
      const share = { id: newNumericId(now()), tenantId, dashboardId, userId, createdAt: now(), expiresAt }
      await store.insert(share, hashOf(token))
      return { share, token }
    },

    async list(dashboardId: string, caller: Caller): Promise<Share[]> {
      await check(dashboardId, caller)
      return store.list(caller.tenantId, dashboardId)
    },

    async remove(dashboardId: string, id: string, caller: Caller): Promise<void> {
      await check(dashboardId, caller)
      if (!(await store.remove(caller.tenantId, dashboardId, id)))
        throw new AppError('not_found', 'there is no such link')
    },

    async show(token: string): Promise<Shown & { missing: MissingOf }> {
      const { dashboard, entities: shown, maker } = await open(token)
      return { dashboard, entities: shown, missing: await missingAmong(dashboard.widgets, entities, maker.tenantId) }
    },

    /** Newest first, at most 1,000; of an entity that the dashboard shows. */
    async points(token: string, { entityId, ...span }: { entityId: string; from: number; to: number }) {
      const { entities: shown, maker } = await open(token)
      if (!shown.some(({ id }) => id === entityId)) throw noSuchLink()
      return history.search({ id: entityId }, span, { offset: 0, limit: maxPoints }, maker)
    }
  }
}

/** As whom a link looks: with the maker's grants of today, which auth knows, and no function of its own. */
function makerOf({ tenantId, userId }: Share): Caller {
  return { tenantId, userId, email: '', nickname: '', isSuperAdmin: false, codes: new Set(), version: 0 }
}

function noSuchLink(): AppError {
  return new AppError('not_found', 'there is nothing behind this link')
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}
