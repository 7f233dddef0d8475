import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Caller, oneOf, type Route, raw, route, type Static, Type } from '@fleetgate/kit'
import type { Cluster } from '../clusters/cluster.js'
import { ById, toTime } from '../linkerFields.js'
import { type Operation, operationKinds, operationStates, progressStates } from './operation.js'
import type { Operations } from './operations.js'

const Reply = Type.Object({
  id: Type.String(),
  clusterId: Type.String(),
  kind: oneOf(operationKinds),
  state: oneOf(operationStates),
  message: Type.String(),
  attempt: Type.Integer(),
  cancelRequested: Type.Boolean(),
  phase: Type.String(),
  phases: Type.Array(
    Type.Object({
      name: Type.String(),
      state: oneOf(progressStates),
      time_start: Type.Optional(Type.String()),
      time_end: Type.Optional(Type.String())
    })
  ),
  hosts: Type.Array(
    Type.Object({
      hostId: Type.String(),
      ip: Type.String(),
      phase: Type.String(),
      state: oneOf(progressStates),
      message: Type.String()
    })
  ),
  problems: Type.Array(Type.Object({ ip: Type.String(), message: Type.String() })),
  userName: Type.String(),
  time_create: Type.String(),
  time_update: Type.String(),
  time_end: Type.Optional(Type.String())
})

const base = '/v1/operations/:id'

/** Ours: Linker showed nothing until the end. Where this process ends, so do its streams: who listens asks another replica. */
export function operationRoutes(operations: Operations, ending: AbortSignal): Route[] {
  return [
    route({
      method: 'get',
      path: base,
      summary: 'How far an operation on a cluster is, by phase and host, and what is wrong',
      needs: 'cluster.view',
      params: ById,
      reply: Reply,
      handle: async ({ params, caller }) => toReply(await operations.get(params.id, caller))
    }),
    route({
      method: 'get',
      path: `${base}/events`,
      summary: 'The same as server-sent events, at each change until the end',
      needs: 'cluster.view',
      params: ById,
      bare: true,
      handle: async ({ params, caller }) => {
        const first = toReply(await operations.get(params.id, caller))
        return raw({
          headers: {
            'content-type': 'text/event-stream; charset=utf-8',
            'cache-control': 'no-store',
            'x-accel-buffering': 'no'
          },
          body: Readable.from(events(operations, caller, first, ending))
        })
      }
    }),
    route({
      method: 'post',
      path: `${base}/cancel`,
      summary:
        'Stop an operation: a creation and the adding of hosts are taken back, other changes stay on the hosts that have them',
      needs: 'cluster.edit',
      params: ById,
      reply: Type.Object({ id: Type.String(), cancelRequested: Type.Boolean() }),
      handle: async ({ params, caller }) => ({
        id: (await operations.cancel(params.id, caller)).id,
        cancelRequested: true
      })
    }),
    route({
      method: 'post',
      path: `${base}/retry`,
      summary: 'Do the failed or cancelled last operation of a cluster again',
      needs: 'cluster.edit',
      params: ById,
      reply: Type.Object({ id: Type.String(), attempt: Type.Integer() }),
      handle: async ({ params, caller }) => {
        const { id, attempt } = await operations.retry(params.id, caller)
        return { id, attempt }
      }
    })
  ]
}

const lookEveryMs = 300
/** A comment keeps proxies from ending what is silent. */
const silenceMs = 15_000

/** Whichever replica drives it, the document says how far it is. Ends with the operation or with the reader. */
async function* events(
  operations: Operations,
  caller: Caller,
  first: Static<typeof Reply>,
  ending: AbortSignal
): AsyncGenerator<string> {
  let shown = ''
  let saidAt = Date.now()
  for (let now = first; ; now = toReply(await operations.get(first.id, caller))) {
    const text = JSON.stringify(now)
    if (text !== shown) yield `event: operation\ndata: ${text}\n\n`
    else if (Date.now() - saidAt > silenceMs) yield ': still there\n\n'
    if (text !== shown || Date.now() - saidAt > silenceMs) saidAt = Date.now()
    shown = text
    if (now.time_end !== undefined) return
    await sleep(lookEveryMs, undefined, { signal: ending }).catch(() => undefined)
    if (ending.aborted) return
  }
}

function toReply({ cluster, operation }: { cluster: Cluster; operation: Operation }): Static<typeof Reply> {
  const { id, kind, state, message, attempt, cancelRequested, phases, hosts, problems } = operation
  return {
    id,
    clusterId: cluster.id,
    kind,
    state,
    message,
    attempt,
    cancelRequested,
    phase: phases.at(-1)?.name ?? '',
    phases: phases.map(({ name, state, startedAt, endedAt }) => ({
      name,
      state,
      ...(startedAt === undefined ? {} : { time_start: toTime(startedAt) }),
      ...(endedAt === undefined ? {} : { time_end: toTime(endedAt) })
    })),
    hosts,
    problems,
    userName: operation.by.name,
    time_create: toTime(operation.createdAt),
    time_update: toTime(operation.updatedAt),
    ...(operation.endedAt === undefined ? {} : { time_end: toTime(operation.endedAt) })
  }
}
