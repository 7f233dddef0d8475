import { until } from '@fleetgate/testkit'
import type { WebSocket } from 'ws'
import { inLanes } from '../fleet/lanes.js'
import { type Devices, indexes } from './devices.js'
import { openSocket } from './openSocket.js'

export interface Pushed {
  /** From the publish to the frame, one per publish and socket, ms. */
  frames: number[]
  /** From the publish until the last socket had its frame, one per publish, ms. */
  last: number[]
}

interface Exchange {
  payload: { values?: Record<string, { value: number }> }
}

export const publishes = 50
const openingAtOnce = 20
/** Values of the publishes that are measured begin here: what came before only says that a socket hears. */
const firstValue = 1000

/** So many websockets that want one key with its values, and what each publish of it takes to reach them, one publish at a time. */
export async function pushTo(count: number, url: string, token: string, devices: Devices): Promise<Pushed> {
  const key = devices.keyOf(0)
  const sockets: WebSocket[] = []
  const newest = Array.from({ length: count }, () => -1)
  let hears = (_value: number) => {}

  async function open(index: number): Promise<void> {
    const socket = await openSocket(url, token)
    sockets[index] = socket
    socket.on('message', (text) => {
      const value = (JSON.parse(String(text)) as Exchange).payload.values?.[key]?.value
      if (value === undefined) return
      newest[index] = value
      hears(value)
    })
    socket.send(JSON.stringify({ event_type: 'Exchange', payload: { entity_key: [key], with_values: true } }))
  }

  /** A subscription is not answered: a first frame shows that it counts. */
  const hearAll = () =>
    until(
      async () => {
        await devices.publish(0, 0)
        return newest.every((value) => value >= 0)
      },
      { what: 'all websockets to be subscribed', deadlineMs: 60_000, everyMs: 500 }
    )

  async function publishOnce(value: number): Promise<number[]> {
    const times: number[] = []
    const begun = performance.now()
    hears = (heard) => void (heard === value && times.push(performance.now() - begun))
    const limits = { what: 'the value at every websocket', deadlineMs: 30_000, everyMs: 20 }
    await Promise.all([devices.publish(0, value), until(() => newest.every((one) => one === value), limits)])
    return times
  }

  const measured: number[][] = []
  try {
    await inLanes(indexes(count), open, openingAtOnce)
    await Promise.race([devices.lost, hearAll()])
    for (let turn = 0; turn < publishes; turn += 1) {
      measured.push(await Promise.race([devices.lost, publishOnce(firstValue + turn)]))
    }
  } finally {
    for (const socket of sockets) socket?.terminate()
  }
  return { frames: measured.flat(), last: measured.map((times) => Math.max(...times)) }
}
