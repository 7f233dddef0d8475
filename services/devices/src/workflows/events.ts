import { randomUUID } from 'node:crypto'
import { AppError, type Delivered, type Log, type UplinkMessage } from '@fleetgate/kit'
import type { Measurement } from '../entities/measurement.js'
import { wireValue } from '../entities/storedValue.js'
import { answerOf, type Engine } from './engine.js'
import { depthNow, type Listening } from './hooks.js'
import { pathParams } from './nodes/entries.js'
import type { Outcome } from './nodeType.js'
import type { Cause, Causes, Starter } from './starter.js'
import { nextTime } from './timer.js'
import { matchesTopic, mqttPrefix } from './topicFilter.js'
import type { Waiting } from './workflowDoc.js'
import type { WorkflowStore } from './workflowStore.js'

export interface EventsOptions {
  workflows: WorkflowStore
  starter: Starter
  engine: Engine
  log: Log
  now: () => number
  /** How long callers wait for an answer. */
  answerWithinMs: number
}

export interface HttpRequestAt {
  tenantId: string
  credentialIds: string[]
  method: string
  path: string
}

export type Events = ReturnType<typeof createEvents>

/** What starts workflows: values, calls, messages, requests and time. */
export function createEvents({ workflows, starter, engine, log, now, answerWithinMs }: EventsOptions) {
  async function answer(workflow: Waiting, input: Outcome, depth: number): Promise<Outcome> {
    const id = await starter.startOne(workflow, { once: randomUUID(), input }, depth)
    if (depth > 1) await engine.runNow(id)
    else engine.wake()
    const run = await engine.waitFor(workflow.tenantId, id, answerWithinMs)
    if (!run) throw new AppError('timeout', `the workflow has not finished within ${answerWithinMs} ms; it goes on`)
    return answerOf(run)
  }

  async function fire(workflow: Waiting): Promise<void> {
    const { nextAt = 0, wait, enabledAt } = workflow
    const input = { timestamp: nextAt, executionTime: new Date(nextAt).toISOString() }
    await starter.start(workflow, [[{ once: `timer:${nextAt}`, input }]], 1)
    // What was missed while nobody was there is made up for once.
    const next = wait.timer && nextTime(wait.timer, Math.max(now(), nextAt), enabledAt)
    await workflows.moveOn(workflow, next)
    log.debug({ workflowId: workflow.id, next }, 'timer fired')
    engine.wake()
  }

  async function hear(tenantId: string, heard: readonly Heard[]): Promise<void> {
    const keys = [...new Set(heard.flatMap(({ key, parentKey }) => [key, parentKey ?? key]))]
    if (heard.length === 0) return
    for (const workflow of await workflows.listening(tenantId, keys)) {
      await starter.start(workflow, causesOf(heard, new Set(workflow.wait.keys)), depthNow() + 1)
    }
    engine.wake()
  }

  const listening: Listening = {
    /** One run for all listened values of one moment that come together. */
    onValues: hear,

    onCalled: (tenantId, keys, at) =>
      hear(
        tenantId,
        keys.map((key) => ({ key, at }))
      ),

    async call(tenantId, workflowId, params) {
      const workflow = await workflows.findWaiting(tenantId, workflowId)
      if (workflow?.wait.component !== 'trigger') {
        // A service that a person made for themselves does nothing.
        if (!(await workflows.find(tenantId, workflowId))) return {}
        throw new AppError('invalid_state', 'the workflow of this service is not enabled')
      }
      return answer(workflow, params, depthNow() + 1)
    }
  }

  return {
    ...listening,

    /** Messages over MQTT, at least once: the id of a message names the cause. */
    async onTopic(batch: Delivered<UplinkMessage>[]): Promise<void> {
      for (const tenantId of new Set(batch.map(({ data }) => data.tenantId))) {
        const own = batch.filter(({ data }) => data.tenantId === tenantId)
        for (const workflow of await workflows.subscribed(tenantId)) {
          const { topic = '' } = workflow.wait
          const below = `${mqttPrefix(tenantId)}/${topic.replace(/^\//, '')}`
          // As it stands, or as the web client means it: below the topics of the default credential.
          const heard = own.filter(({ data }) => [topic, below].some((filter) => matchesTopic(filter, data.topic)))
          // Many at once: a busy topic must not hold up the values of all devices.
          while (heard.length > 0) {
            const some = heard.splice(0, messagesAtOnce)
            const causes = some.map(({ data, id }) => [{ once: `mqtt:${id}`, input: mqttInput(data, workflow) }])
            await starter.start(workflow, causes, 1)
          }
        }
      }
      engine.wake()
    },

    /**
     * A request of the public route, its credential checked. The workflow that names its path counts before those whose
     * path is a template. Throws `not_found` where no workflow waits for it.
     */
    async onRequest({ tenantId, credentialIds, method, path }: HttpRequestAt, input: Outcome): Promise<Outcome> {
      for (const found of await workflows.served(tenantId, path, credentialIds)) {
        const { http } = found.wait
        const params = http?.method === method ? pathParams(http.path, path) : undefined
        if (params) return answer(found, { ...input, ...params }, 1)
      }
      throw new AppError('not_found', 'no workflow waits for this request')
    },

    /** Fires what is due. The moment names the cause, so replicas and repeats start one run. */
    async onTime(): Promise<void> {
      for (const workflow of await workflows.due(now())) {
        await fire(workflow).catch((err) => log.warn({ err, workflowId: workflow.id }, 'timer not fired, trying again'))
      }
    }
  }
}

/** A value, or the call of a service without one. */
type Heard = Pick<Measurement, 'key' | 'parentKey' | 'at'> & Partial<Pick<Measurement, 'value'>>

/** Under its own key, and where its OBJECT is listened to within that as well. */
function inputOf({ key, parentKey, value }: Heard, keys: ReadonlySet<string>): Outcome {
  const own = value === undefined ? {} : wireValue(value)
  if (parentKey === undefined || !keys.has(parentKey)) return { [key]: own }
  return { [key]: own, [parentKey]: { [key.slice(parentKey.length + 1)]: own } }
}

/** A sample is a cause of its own: what is told again after a crash may come with others of its moment, or without them. */
function causesOf(heard: readonly Heard[], keys: ReadonlySet<string>): Causes[] {
  const moments = new Map<number, Map<string, Cause>>()
  for (const one of heard) {
    const { key, parentKey = key, at } = one
    const causes = moments.get(at) ?? new Map<string, Cause>()
    if (!(keys.has(key) || keys.has(parentKey)) || causes.has(key)) continue
    moments.set(at, causes.set(key, { once: `value:${at}:${key}`, input: inputOf(one, keys) }))
  }
  return [...moments.values()].map((causes) => [...causes.values()])
}

const messagesAtOnce = 500
const maxPayloadBytes = 64 * 1024

function mqttInput({ topic, payload, clientId }: UplinkMessage, { wait }: Waiting): Outcome {
  const bytes = Buffer.from(payload).subarray(0, maxPayloadBytes)
  const isText = wait.encoding?.toLowerCase() !== 'base64'
  return { topic, payload: bytes.toString(isText ? 'utf8' : 'base64'), clientId }
}
