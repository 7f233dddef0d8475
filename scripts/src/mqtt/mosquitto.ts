import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { freePort } from '@fleetgate/local'
import { until } from '@fleetgate/testkit'
import { stop } from '../bench/candidates.js'
import { createBareClient } from '../fleet/bareClient.js'
import type { Broker, Sink } from './broker.js'
import { reportFilter } from './topics.js'

export interface Mosquitto extends Broker {
  stop(): Promise<void>
}

const host = '127.0.0.1'

/** Debian's mosquitto: no passwords, nothing kept on disk, no bound on what waits. Nothing when it is not on PATH. */
export async function startMosquitto(dir: string): Promise<Mosquitto | undefined> {
  if (spawnSync('mosquitto', ['-h']).error) return undefined
  const port = await freePort()
  const file = `${dir}/mosquitto.conf`
  await writeFile(file, mosquittoConfig(port))
  const child = spawn('mosquitto', ['-c', file], { stdio: ['ignore', 'inherit', 'inherit'] })
  const broker = { name: 'mosquitto', access: { host, port }, pid: () => child.pid, openSink, settle: async () => {} }

  /** One subscriber, on a connection of its own. */
  async function openSink(onLost: (reason: string) => void): Promise<Sink> {
    let count = 0
    const subscriber = createBareClient({
      ...{ clientId: 'bench-subscriber', host, port },
      onMessage: () => void count++,
      onLost
    })
    await subscriber.connect()
    await subscriber.subscribe(reportFilter)
    return { count: () => count, close: subscriber.close }
  }

  try {
    await until(() => answers(port), { what: 'mosquitto to listen' })
    return { ...broker, stop: () => stop(child) }
  } catch (error) {
    await stop(child)
    throw error
  }
}

function mosquittoConfig(port: number): string {
  return `listener ${port} ${host}
allow_anonymous true
persistence false
max_queued_messages 0
max_inflight_messages 0
set_tcp_nodelay true
log_type error
`
}

async function answers(port: number): Promise<boolean> {
  const socket = connect({ host, port })
  try {
    await once(socket, 'connect')
    return true
  } finally {
    socket.destroy()
  }
}
