import { AppError, alertClosed, alertRaised, type runFinished, type Static } from '@fleetgate/kit'
import type { Outbox, Page, PageOf } from '@fleetgate/store'
import type { AwayStore } from '../clients/awayStore.js'
import { byTenant } from '../clients/client.js'
import type { RunStore } from '../runs/runStore.js'
import type { Alert } from './alert.js'
import type { AlertFilter, AlertStore } from './alertStore.js'

export interface AlertsDeps {
  store: AlertStore
  /** Of the alerts: tells others of each one raised and closed. */
  outbox: Outbox
  clients: AwayStore
  runs: Pick<RunStore, 'successAfter'>
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

export function createAlerts({ store, outbox, clients, runs, offlineMs, now }: AlertsDeps): Alerts {
  async function raise(alerts: readonly Alert[]): Promise<void> {
    await store.raise(alerts, ({ _id: alertId, tenantId, kind, subjectId, message, raisedAt }) =>
      outbox.entry(alertRaised, { tenantId, alertId, kind, subjectId, message, raisedAt })
    )
    void outbox.flush(alerts.map(({ _id }) => _id))
  }

  async function closeAll(alerts: readonly Alert[]): Promise<void> {
    const closedAt = now()
    await store.close(alerts, closedAt, ({ _id: alertId, tenantId, kind, subjectId }) =>
      outbox.entry(alertClosed, { tenantId, alertId, kind, subjectId, closedAt })
    )
    void outbox.flush(alerts.map(({ _id }) => _id))
  }

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
        await closeAll(ofTenant.filter(({ subjectId }) => !away.has(subjectId)))
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
      await raise(
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
      const alert = await store.find(tenantId, alertId)
      if (!alert) throw new AppError('not_found', `alert ${alertId} not found`)
      await closeAll([alert])
    },

    async onRunFinished({ tenantId, runId, jobId, result, succeeded, failed, finishedAt }) {
      const closeUpTo = async (time: number) => {
        const open = await store.openOf(tenantId, 'JOB_FAILED', jobId)
        await closeAll(open.filter(({ raisedAt }) => raisedAt <= time))
      }
      // After an outage the ends of several runs come in any order.
      if (result === 'SUCCESS') return closeUpTo(finishedAt)
      const message = `job ${jobId} failed on ${failed} of ${succeeded + failed} clients`
      const about = { _id: `run:${runId}`, tenantId, kind: 'JOB_FAILED' as const, subjectId: jobId }
      await raise([{ ...about, message, raisedAt: finishedAt, open: true }])
      // Asked after the raising: a success that ends later than this look finds the alert.
      const succeededAt = await runs.successAfter(tenantId, jobId, finishedAt)
      if (succeededAt !== undefined) await closeUpTo(succeededAt)
    },

    async watchClients() {
      if (offlineMs > 0) await raiseAway()
      await closeReturned()
    }
  }
}
