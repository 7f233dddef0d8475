import { type Bus, currentOrigin, deliver, type Log, newId, withOrigin } from '@fleetgate/kit'
import type { mongo } from 'mongoose'
import type { ClientStore } from '../clients/clientStore.js'
import type { EngineSettings } from '../config.js'
import type { Execution, ExecutionState } from '../executions/execution.js'
import type { ExecutionStore } from '../executions/executionStore.js'
import { chunksOf, groupBy } from '../inGroups.js'

export interface HaltsDeps {
  executions: Pick<ExecutionStore, 'collection'>
  clients: Pick<ClientStore, 'presenceOf'>
  bus: Pick<Bus, 'command'>
  log: Log
  now: () => number
  settings: Pick<EngineSettings, 'ackTimeoutMs'>
  /** True while answers may lie unread: nobody is told again then. */
  isBehind: () => boolean
  /** Something is to be sent: `sendDue` should be called soon. */
  onDue: () => void
}

/** Which executions: of one run, or of one machine. */
export type HaltFilter = { runId: string } | { tenantId: string; mqttClientId: string }

/**
 * Tells machines to end what they are at. The order stands in the execution until its machine says FINISHED of that attempt,
 * also where the execution has its final state already: so a machine that was away is told when it is back.
 */
export interface Halts {
  /** Notes the order for executions whose machine was told of them; once for each attempt. */
  order(filter: HaltFilter, reason: string, states?: readonly ExecutionState[]): Promise<void>
  /** Takes back what was ordered for this reason and is still open. */
  withdraw(tenantId: string, mqttClientId: string, reason: string): Promise<void>
  /** These machines are back, or may be reached anew. */
  rearm(tenantId: string, mqttClientIds: string[], inMs: number): Promise<void>
  sendDue(): Promise<void>
}

type Due = Pick<Execution, '_id' | 'tenantId' | 'clientId' | 'mqttClientId'> & { halt: NonNullable<Execution['halt']> }

const toldStates = ['DISPATCHED', 'RUNNING'] as const
const dueFields = { tenantId: 1, clientId: 1, mqttClientId: 1, halt: 1 } as const
/** What the partial indexes hold. */
const isOrdered = { 'halt.attempt': { $exists: true } } as const
const pageSize = 1000
const targetsPerCommand = 200
/** A machine that has heard it so often does not know the command. */
const maxTries = 10
const longestWaitMs = 60_000

export function createHalts(deps: HaltsDeps): Halts {
  const { clients, now, settings } = deps
  const executions = deps.executions.collection

  /** A write guarded by what was read: of two replicas one tells. A crash before the sending is healed by `dueAt`. */
  async function claim(due: Due[], claimId: string): Promise<Due[]> {
    const writes = [...groupBy(due, ({ halt }) => halt.tries)].map(([tries, group]) => ({
      updateMany: {
        filter: { _id: { $in: group.map(({ _id }) => _id) }, 'halt.dueAt': { $lte: now() }, 'halt.tries': tries },
        update: { $set: { 'halt.dueAt': now() + waitOf(tries), 'halt.claim': claimId }, $inc: { 'halt.tries': 1 } }
      }
    }))
    await executions.bulkWrite(writes as mongo.AnyBulkWriteOperation<Execution>[], { ordered: false })
    return find({ _id: { $in: due.map(({ _id }) => _id) }, 'halt.claim': claimId }, due.length)
  }

  function find(filter: Record<string, unknown>, limit: number): Promise<Due[]> {
    return executions
      .find(filter as never, { projection: dueFields })
      .limit(limit)
      .toArray() as Promise<Due[]>
  }

  function waitOf(tries: number): number {
    return Math.min(settings.ackTimeoutMs * 2 ** tries, Math.max(longestWaitMs, settings.ackTimeoutMs))
  }

  /** Those who are away wait for their next hello, in place of a time. */
  async function rest(claimed: Due[], claimId: string): Promise<void> {
    if (claimed.length === 0) return
    const filter = { _id: { $in: claimed.map(({ _id }) => _id) }, 'halt.claim': claimId }
    await executions.updateMany(filter as never, { $unset: { 'halt.dueAt': '' } } as never)
  }

  async function tell(tenantId: string, claimed: Due[], claimId: string): Promise<void> {
    const found = await clients.presenceOf(
      tenantId,
      claimed.map(({ clientId }) => clientId)
    )
    const status = new Map(found.map((one) => [one.clientId, one.status]))
    // One that was deleted may be connected all the same.
    const reachable = claimed.filter(({ clientId }) => status.get(clientId) !== 'OFFLINE')
    const isLast = ({ clientId, halt }: Due) => status.get(clientId) !== 'ONLINE' || halt.tries >= maxTries
    for (const [, group] of groupBy(reachable, ({ halt }) => JSON.stringify([halt.reason, halt.origin]))) {
      await withOrigin(group[0]?.halt.origin, () => tellGroup(tenantId, group, claimId))
    }
    await rest(claimed.filter(isLast), claimId)
  }

  /** They were ordered to stop for the same reason, by the same request. */
  async function tellGroup(tenantId: string, group: Due[], claimId: string): Promise<void> {
    const reason = group[0]?.halt.reason ?? ''
    for (const chunk of chunksOf(group, targetsPerCommand)) {
      const targets = chunk.map(({ _id, mqttClientId, halt }) => ({
        clientId: mqttClientId,
        own: { executionId: _id, attempt: halt.attempt }
      }))
      const id = `${claimId}:${chunk[0]?._id}`
      await deps.bus.command(deliver, { tenantId, channel: 'stop', common: { reason }, targets }, { id })
    }
    deps.log.info({ tenantId, machines: group.length, reason }, 'machines told to stop')
  }

  return {
    async order(filter, reason, states = toldStates) {
      const isNew = { $expr: { $ne: [{ $ifNull: ['$halt.attempt', 0] }, '$attempt'] } }
      const origin = currentOrigin()
      const ordered = { reason: { $literal: reason }, ...(origin && { origin: { $literal: origin } }) }
      const halt = { attempt: '$attempt', ...ordered, dueAt: now(), tries: 0 }
      const open = { ...filter, open: true as const, state: { $in: [...states] }, ...isNew }
      const { modifiedCount } = await executions.updateMany(open as never, [{ $set: { halt } }])
      if (modifiedCount > 0) deps.onDue()
    },

    async withdraw(tenantId, mqttClientId, reason) {
      const filter = { tenantId, mqttClientId, open: true as const, 'halt.reason': reason }
      await executions.updateMany(filter as never, { $unset: { halt: '' } } as never)
    },

    async rearm(tenantId, mqttClientIds, inMs) {
      const filter = { tenantId, mqttClientId: { $in: mqttClientIds }, ...isOrdered }
      const change = { $set: { 'halt.dueAt': now() + inMs, 'halt.tries': 0 }, $unset: { 'halt.claim': '' } }
      const { matchedCount } = await executions.updateMany(filter as never, change as never)
      if (matchedCount > 0) deps.onDue()
    },

    async sendDue() {
      for (;;) {
        const isFirst = deps.isBehind() ? { 'halt.tries': 0 } : {}
        const due = await find({ ...isOrdered, 'halt.dueAt': { $lte: now() }, ...isFirst }, pageSize)
        if (due.length === 0) return
        const claimId = newId()
        const claimed = await claim(due, claimId)
        for (const [tenantId, group] of groupBy(claimed, (one) => one.tenantId)) await tell(tenantId, group, claimId)
        if (due.length < pageSize) return
      }
    }
  }
}
