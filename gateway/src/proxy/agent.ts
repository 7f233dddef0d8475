import { Agent, type AgentOptions } from 'node:http'
import { connect, type Socket } from 'node:net'

export interface Timing {
  /** A service that is silent for this long (no answer, or an answer that stands still) is given up. */
  timeoutMs: number
  /** A connection that is not made by then is as good as refused: black-holed addresses of dead pods. */
  connectTimeoutMs: number
}

/** Connections to one service. Its `timeout` makes node watch each socket once, instead of each request. */
export function createAgent(timing: Timing, options: AgentOptions): Agent {
  const agent = new Agent({ ...options, timeout: timing.timeoutMs, scheduling: 'lifo', maxFreeSockets: 256 })
  agent.createConnection = (target) => connectWithin(timing.connectTimeoutMs, target as { host: string; port: number })
  // All its connections are to one place; node would build a name of ten options for every request to find that out.
  agent.getName = () => 'service'
  return agent
}

function connectWithin(limitMs: number, target: { host: string; port: number }): Socket {
  const socket = connect(target)
  const timer = setTimeout(() => socket.destroy(connectTimedOut()), limitMs)
  const stop = () => clearTimeout(timer)
  socket.once('connect', stop)
  socket.once('close', stop)
  return socket
}

function connectTimedOut(): Error {
  return Object.assign(new Error('connection timed out'), { code: 'ETIMEDOUT', syscall: 'connect' })
}
