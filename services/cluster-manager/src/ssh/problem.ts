export const problemKinds = ['unreachable', 'login', 'host_key', 'lost', 'refused'] as const
export type ProblemKind = (typeof problemKinds)[number]

/** What is wrong with a host, in words for the operator. */
export class HostProblem extends Error {
  override readonly name = 'HostProblem'

  constructor(
    readonly kind: ProblemKind,
    message: string,
    options?: { cause?: unknown }
  ) {
    super(message, options)
  }
}

export function toProblem(error: unknown, address: string, key?: { pinned: string; shown: string }): HostProblem {
  if (error instanceof HostProblem) return error
  if (key) {
    const text = `${address} shows another host key (${key.shown}) than the one recorded (${key.pinned}): it is refused`
    return new HostProblem('host_key', text, { cause: error })
  }
  const { message = String(error), level, code } = error as { message?: string; level?: string; code?: string }
  if (level === 'client-authentication') {
    return new HostProblem('login', `${address} refuses the login: user, key or password is wrong`, { cause: error })
  }
  if (/passphrase|privateKey|Cannot parse/i.test(message))
    return new HostProblem('login', `the private key for ${address} does not open`, { cause: error })
  if (/broke|not connected|ECONNRESET|EPIPE|No response|Channel open failure/i.test(message)) {
    return new HostProblem('lost', `the connection to ${address} broke`, { cause: error })
  }
  return new HostProblem('unreachable', `${address} cannot be reached by SSH: ${reason(code, message)}`, {
    cause: error
  })
}

function reason(code: string | undefined, message: string): string {
  if (code === 'ECONNREFUSED') return 'the connection is refused'
  if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH') return 'there is no way to it'
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'the name is not known'
  return /timed? ?out/i.test(message) ? 'it does not answer in time' : message.slice(0, 200)
}
