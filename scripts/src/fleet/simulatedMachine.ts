import {
  downFilter,
  downTopic,
  type ExecutionCommand,
  type Hello,
  type Report,
  type ReportEvent,
  type Role,
  type Step,
  upTopic
} from '@fleetgate/contracts/fleet'
import { type BareClient, createBareClient } from './bareClient.js'

/** A machine that speaks the agent's protocol on a bare socket and does every step at once. */
export interface SimulatedMachine extends Pick<BareClient, 'ping' | 'close'> {
  /** Resolves when it is connected, subscribed and has said hello. */
  connect(): Promise<void>
}

export interface MachineOptions {
  clientId: string
  host: string
  port: number
  username: string
  password: string
  onFinished: (executionId: string) => void
  onLost: (reason: string) => void
  /** STORE where it is not given. */
  role?: Role
  /** What an execution takes a machine to do before it reports; nothing where it is not given. */
  perform?: (command: ExecutionCommand, publish: Publish) => Promise<void>
  /** Hears of every message that is no execution. */
  onMessage?: (topic: string, payload: Buffer, publish: Publish) => void
}

/** QoS 1; resolves with the acknowledgement. */
export type Publish = (topic: string, payload: object) => Promise<void>

export function createMachine(options: MachineOptions): SimulatedMachine {
  const { clientId, host, port, username, password, onLost } = options
  const client = createBareClient({ clientId, host, port, username, password, onMessage: take, onLost })
  const publish: Publish = (topic, payload) => client.publish(topic, JSON.stringify(payload))

  function take(topic: string, payload: Buffer): void {
    if (topic === downTopic(clientId, 'execution')) void work(JSON.parse(payload.toString()) as ExecutionCommand)
    else options.onMessage?.(topic, payload, publish)
  }

  /** Two reports, as an agent whose steps take a moment sends them. */
  async function work(command: ExecutionCommand): Promise<void> {
    const { executionId, attempt, epoch } = command
    await options.perform?.(command, publish)
    const events = eventsOf(command)
    const middle = Math.floor(events.length / 2)
    for (const part of [events.slice(0, middle), events.slice(middle)]) {
      const report: Report = { executionId, attempt, epoch, sentAt: Date.now(), events: part }
      await publish(upTopic(clientId, 'report'), report)
    }
    options.onFinished(executionId)
  }

  return {
    async connect() {
      await client.connect()
      await client.subscribe(downFilter(clientId))
      const hello: Hello = { role: options.role ?? 'STORE', version: 'bench', attributes: { os: 'none' } }
      await publish(upTopic(clientId, 'hello'), hello)
    },
    ping: client.ping,
    close: client.close
  }
}

/** What an agent would report of this command if every step succeeded at once. */
export function eventsOf({ tasks }: ExecutionCommand): ReportEvent[] {
  const events: ReportEvent[] = []
  const add = (kind: ReportEvent['kind'], fields: Partial<ReportEvent> = {}) => {
    events.push({ seq: events.length + 1, at: Date.now(), kind, ...fields })
  }
  const run = (taskId: number, step: Step): void => {
    const place = { taskId, scriptId: step.scriptId }
    add('STEP_STARTED', place)
    for (const condition of step.conditions ?? []) run(taskId, condition)
    const isProgram = step.type === 'EXECUTE_FILE'
    add('STEP_ENDED', {
      ...place,
      status: 'SUCCESS',
      message: 'simulated',
      ...(isProgram ? { exitCode: 0, output: 'done\n' } : {})
    })
    for (const next of step.true ?? []) run(taskId, next)
  }
  add('RECEIVED')
  for (const { taskId, scripts } of tasks) {
    add('TASK_STARTED', { taskId })
    for (const step of scripts) run(taskId, step)
    add('TASK_ENDED', { taskId, status: 'SUCCESS', message: 'done' })
  }
  add('FINISHED', { status: 'SUCCESS', message: 'done' })
  return events
}
