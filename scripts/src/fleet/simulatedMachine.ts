import { connect, type Socket } from 'node:net'
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
import { generate, type Packet, parser } from 'mqtt-packet'

/** A machine that speaks the agent's protocol on a bare socket and does every step at once. */
export interface SimulatedMachine {
  /** Resolves when it is connected, subscribed and has said hello. */
  connect(): Promise<void>
  ping(): void
  close(): void
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

const keepalive = 120

export function createMachine(options: MachineOptions): SimulatedMachine {
  const { clientId, username, password } = options
  const waiting = new Map<string, () => void>()
  let socket: Socket | undefined
  let nextId = 1
  let isClosed = false

  const send = (packet: Packet) => void socket?.write(generate(packet))
  const answered = (name: string) => new Promise<void>((resolve) => waiting.set(name, resolve))

  function publish(topic: string, payload: object): Promise<void> {
    const messageId = nextId
    nextId = (nextId % 65_535) + 1
    send({ cmd: 'publish', topic, payload: JSON.stringify(payload), qos: 1, messageId, dup: false, retain: false })
    return answered(`puback ${messageId}`)
  }

  function take(packet: Packet): void {
    if (packet.cmd === 'publish') {
      if (packet.qos === 1) send({ cmd: 'puback', messageId: packet.messageId ?? 0 })
      if (packet.topic === downTopic(clientId, 'execution'))
        void work(JSON.parse(packet.payload.toString()) as ExecutionCommand)
      else options.onMessage?.(packet.topic, packet.payload as Buffer, publish)
    } else if (packet.cmd === 'connack' && packet.returnCode !== 0) options.onLost(`refused with ${packet.returnCode}`)
    else settle(`${packet.cmd} ${packet.messageId ?? ''}`)
  }

  function settle(name: string): void {
    waiting.get(name)?.()
    waiting.delete(name)
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

  async function open(): Promise<void> {
    const incoming = parser({ protocolVersion: 4 })
    incoming.on('packet', take)
    socket = connect({ host: options.host, port: options.port, noDelay: true })
    socket.on('data', (bytes) => incoming.parse(bytes))
    socket.on('error', (error) => options.onLost(error.message))
    socket.on('close', () => isClosed || options.onLost('closed'))
    send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean: true,
      clientId,
      keepalive,
      username,
      password: Buffer.from(password)
    })
    await answered('connack ')
    send({ cmd: 'subscribe', messageId: 65_535, subscriptions: [{ topic: downFilter(clientId), qos: 1 }] })
    await answered('suback 65535')
    const hello: Hello = { role: options.role ?? 'STORE', version: 'bench', attributes: { os: 'none' } }
    await publish(upTopic(clientId, 'hello'), hello)
  }

  return {
    connect: open,
    ping: () => send({ cmd: 'pingreq' }),
    close: () => {
      isClosed = true
      socket?.destroy()
    }
  }
}

/** What an agent would report of this command if every step succeeded at once. */
function eventsOf({ tasks }: ExecutionCommand): ReportEvent[] {
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
