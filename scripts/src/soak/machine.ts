import { setTimeout as delay } from 'node:timers/promises'
import {
  downFilter,
  downTopic,
  type ExecutionCommand,
  type Hello,
  type Report,
  type ReportEvent,
  type StopCommand,
  upTopic
} from '@fleetgate/contracts/fleet'
import mqtt from 'mqtt'
import { eventsOf } from '../fleet/simulatedMachine.js'
import type { Random } from './random.js'

/** What a machine reported of one attempt. */
export interface Attempt {
  executionId: string
  attempt: number
  events: ReportEvent[]
  /** Numbers of the events that were acknowledged. */
  acknowledged: Set<number>
}

/** A machine that speaks the agent's protocol, comes back whenever it is cut off, and knows what was acknowledged to it. */
export interface SoakMachine {
  clientId: string
  attempts(): Attempt[]
  isConnected(): boolean
  close(): Promise<void>
}

interface MachineOptions {
  clientId: string
  mqttUrl: string
  username: string
  password: string
  random: Random
}

interface Doing extends Attempt {
  epoch: number
  sent: number
  isStopped: boolean
}

const longestStepMs = 2_000
const failsOneIn = 12
const againAfterMs = 200

export function startMachine({ clientId, mqttUrl, username, password, random }: MachineOptions): SoakMachine {
  const login = { clientId, username, password, clean: true, protocolVersion: 4 as const }
  const client = mqtt.connect(mqttUrl, { ...login, keepalive: 10, reconnectPeriod: 300, connectTimeout: 5_000 })
  const doing = new Map<string, Doing>()
  let isClosed = false

  client.on('error', () => {})
  client.on('connect', () => {
    const hello: Hello = { role: 'STORE', version: 'soak', attributes: { os: 'none' } }
    void put('hello', hello)
  })
  client.on('message', (topic, payload) => {
    if (topic === downTopic(clientId, 'execution')) take(JSON.parse(payload.toString()) as ExecutionCommand)
    if (topic === downTopic(clientId, 'stop')) stop(JSON.parse(payload.toString()) as StopCommand)
  })
  client.subscribe(downFilter(clientId), { qos: 1 })

  /** Resolves with the acknowledgement, however often it takes. */
  async function put(channel: 'hello' | 'report', payload: object): Promise<void> {
    while (!isClosed) {
      try {
        await client.publishAsync(upTopic(clientId, channel), JSON.stringify(payload), { qos: 1 })
        return
      } catch {
        await delay(againAfterMs)
      }
    }
  }

  async function report(one: Doing, events: ReportEvent[]): Promise<void> {
    const { executionId, attempt, epoch } = one
    await put('report', { executionId, attempt, epoch, sentAt: Date.now(), events } satisfies Report)
    if (!isClosed) for (const { seq } of events) one.acknowledged.add(seq)
  }

  function take(command: ExecutionCommand): void {
    const { executionId, attempt, epoch } = command
    const key = `${executionId} ${attempt}`
    const known = doing.get(key)
    if (known) {
      known.epoch = epoch
      void report(known, known.events.slice(0, Math.max(1, known.sent)))
      return
    }
    const events = endingWith(eventsOf(command), random.next() * failsOneIn < 1)
    const one = { executionId, attempt, epoch, events, acknowledged: new Set<number>(), sent: 0, isStopped: false }
    doing.set(key, one)
    void work(one)
  }

  /** In parts, with a while between, as an agent whose steps take a moment. */
  async function work(one: Doing): Promise<void> {
    while (one.sent < one.events.length && !one.isStopped) {
      const part = one.events.slice(one.sent, one.sent + 1 + Math.floor(random.next() * one.events.length))
      one.sent += part.length
      await report(one, part)
      await delay(random.between(0, longestStepMs))
    }
  }

  function stop({ executionId, attempt, reason }: StopCommand): void {
    const key = `${executionId} ${attempt}`
    const one: Doing = doing.get(key) ?? {
      ...{ executionId, attempt, epoch: 1, events: [], acknowledged: new Set(), sent: 0, isStopped: true }
    }
    doing.set(key, one)
    const isOver = one.sent === one.events.length && one.events.length > 0
    if (!isOver && !one.events.some(({ message }) => message === reason)) {
      one.isStopped = true
      one.events = one.events.slice(0, one.sent)
      one.events.push({ seq: one.sent + 1, at: Date.now(), kind: 'FINISHED', status: 'FAILED', message: reason })
      one.sent = one.events.length
    }
    void report(one, one.events)
  }

  return {
    clientId,
    attempts: () => [...doing.values()],
    isConnected: () => client.connected,
    async close() {
      isClosed = true
      await client.endAsync(true)
    }
  }
}

function endingWith(events: ReportEvent[], isFailed: boolean): ReportEvent[] {
  return events.map((event) =>
    isFailed && event.kind === 'FINISHED' ? { ...event, status: 'FAILED', message: 'simulated failure' } : event
  )
}
