import { AppError, type runFinished, type Static } from '@fleetgate/kit'
import type { Page, PageOf } from '@fleetgate/store'
import type { AwayStore } from '../clients/awayStore.js'
import { byTenant } from '../clients/client.js'
import type { Alert } from './alert.js'
import type { AlertFilter, AlertStore } from './alertStore.js'

export interface AlertsDeps {
  store: AlertStore
  clients: AwayStore
  /** How long an enabled client may be offline; 0: for ever. */
  offlineMs: number
  now: () => number
}

export interface Alerts {
  list(filter: AlertFilter, page: Page): Promise<PageOf<Alert>>
  /** Somebody has looked at it. */
  close(tenantId: string, alertId: string): Promise<void>
  /** A failed run raises an alert; a later success of the job closes it. */
  onRunFinished(event: Static<typeof runFinished.data>): Promise<void>
  /** Raises alerts of clients that are away for too long, and closes those of clients that are back or gone. */
  watchClients(): Promise<void>
}

const pageSize = 1000

export function createAlerts({ store, clients, offlineMs, now }: AlertsDeps): Alerts {
  async function closeReturned(): Promise<void> {
    for (let after = ''; ; ) {
      const open = await store.openPage('CLIENT_OFFLINE', after, pageSize)
      for (const [tenantId, ofTenant] of byTenant(open)) {
        const away = new Set(
          await clients.awayAmong(
            tenantId,
            ofTenant.map(({ subjectId }) => subjectId)
          )
        )
        const back = ofTenant.filter(({ subjectId }) => !away.has(subjectId))
        if (back.length > 0) {
          await store.close(
            back.map(({ _id }) => _id),
            now()
          )
        }
      }
      const last = open.at(-1)
      if (!last || open.length < pageSize) return
      after = last._id
    }
  }

  async function raiseAway(): Promise<void> {
    const before = now() - offlineMs
    for (;;) {
      const away = await clients.newlyAway(before, pageSize)
      await store.raise(
        away.map(({ tenantId, clientId, mqttClientId, disconnectedAt }) => ({
          _id: `offline:${tenantId}:${clientId}:${disconnectedAt}`,
          tenantId,
          kind: 'CLIENT_OFFLINE',
          subjectId: clientId,
          message: `client ${mqttClientId} is offline since ${new Date(disconnectedAt).toISOString()}`,
          raisedAt: now(),
          open: true
        }))
      )
      // After the alerts are kept: a crash between raises them again, under the same ids.
      await clients.setTold(away)
      if (away.length < pageSize) return
    }
  }

  return {
    list: (filter, page) => store.list(filter, page),

    async close(tenantId, alertId) {
      if (!(await store.find(tenantId, alertId))) throw new AppError('not_found', `alert ${alertId} not found`)
      await store.close([alertId], now())
    },

    async onRunFinished({ tenantId, runId, jobId, result, succeeded, failed, finishedAt }) {
      if (result === 'SUCCESS') return store.closeOf(tenantId, { kind: 'JOB_FAILED', subjectId: jobId, at: now() })
      const message = `job ${jobId} failed on ${failed} of ${succeeded + failed} clients`
      const about = { _id: `run:${runId}`, tenantId, kind: 'JOB_FAILED' as const, subjectId: jobId }
      await store.raise([{ ...about, message, raisedAt: finishedAt, open: true }])
    },

    async watchClients() {
      if (offlineMs > 0) await raiseAway()
      await closeReturned()
    }
  }
}
