import type { Log } from '@fleetgate/contracts'
import type { BrokerRules, Session } from '../brokerDriver.js'
import type { Lane } from '../lane.js'
import type { EmqxApi } from './api.js'
import type { ClientRegister } from './clientRegister.js'
import { toSession } from './identify.js'
import { ownIdPrefix } from './links.js'

export interface ReconcileParts {
  api: Pick<EmqxApi, 'clients' | 'client'>
  register: ClientRegister
  rules: Pick<BrokerRules, 'account'>
  lane: Lane
  onStranger(clientId: string): void
  everyMs: number
  log: Log
}

export interface Reconcile {
  /** Soon, beside the regular times. */
  now(): void
  stop(): void
}

const retryMs = 5_000

/** Compares the register with EMQX's list from time to time: events get lost. */
export function createReconcile(parts: ReconcileParts): Reconcile {
  const { api, register, rules, lane, onStranger, everyMs, log } = parts
  let timer: NodeJS.Timeout | undefined
  let isWorking = false
  let isAskedAgain = false
  let isStopped = false

  async function compare(): Promise<void> {
    // Those that come while the list is read may be missing in it.
    const before = [...register.all()]
    const listed = new Set<string>()
    for await (const client of api.clients()) {
      if (isStopped) return
      if (client.clientId.startsWith(ownIdPrefix)) continue
      listed.add(client.clientId)
      const session = toSession(client, rules)
      if (session) arrive(session)
      else onStranger(client.clientId)
    }
    await Promise.all(before.filter(({ clientId }) => !listed.has(clientId)).map((one) => lane.run(() => verify(one))))
  }

  function arrive(session: Session): void {
    // Versions differ in how exactly the list says the time of a connection.
    const known = register.of(session.clientId)
    if (known && Math.abs(known.connectedAt - session.connectedAt) < 1000) return
    register.connected(session)
  }

  /** Pages shift while clients come and go, so one that is not listed is asked for by name. */
  async function verify(session: Session): Promise<void> {
    if (register.of(session.clientId) !== session || (await api.client(session.clientId))) return
    const { clientId, connectedAt } = session
    register.disconnected({ clientId, connectedAt, at: Date.now(), reason: 'gone without a word' })
  }

  async function work(): Promise<void> {
    if (isStopped) return
    if (isWorking) {
      isAskedAgain = true
      return
    }
    isWorking = true
    isAskedAgain = false
    let waitMs = everyMs
    try {
      await compare()
    } catch (err) {
      waitMs = Math.min(retryMs, everyMs)
      log.warn({ err }, 'clients of EMQX not read, trying again')
    } finally {
      isWorking = false
      if (!isStopped) schedule(isAskedAgain ? 0 : waitMs)
    }
  }

  function schedule(ms: number): void {
    clearTimeout(timer)
    timer = setTimeout(() => void work(), ms)
    timer.unref()
  }

  return {
    now: () => void work(),
    stop() {
      isStopped = true
      clearTimeout(timer)
    }
  }
}
