import {
  AppError,
  type Caller,
  type Credentials,
  type Guard,
  type RateLimit,
  traceparentOf,
  unknownKey
} from '@fleetgate/kit'
import type { Flight } from './proxy/flight.js'

export interface Admission {
  /**
   * Who asks, or AppError. Answers a promise only where auth must be asked (HTTP Basic, a new signing key), so that the
   * usual request needs no turn of the event loop. What is asked goes out under the flight's request id and trace.
   */
  admit(credentials: Credentials | undefined, address: string, flight: Asking): Caller | Promise<Caller>
  /** A route that needs no token: only the address is limited. */
  admitPublic(address: string): void
}

/** The flight on whose behalf auth is asked. */
export type Asking = Pick<Flight, 'requestId' | 'trace'>

export interface AdmissionOptions {
  guard: Pick<Guard, 'token' | 'verify'>
  rateLimit?: RateLimit | undefined
  now: () => number
}

/** The one place where the gateway decides who may pass, and how often. */
export function createAdmission({ guard, rateLimit, now }: AdmissionOptions): Admission {
  function limit(key: string): void {
    const seconds = rateLimit ? rateLimit.take(key, now()) : 0
    if (seconds > 0) throw new AppError('rate_limited', 'too many requests', { retryAfter: seconds })
  }

  function accept(caller: Caller): Caller {
    if (rateLimit) limit(`user ${caller.tenantId} ${caller.userId}`)
    return caller
  }

  /** Refusals count against the address, or guessing tokens would be the one thing without a limit. */
  function refuse(address: string, error: unknown): never {
    limit(`address ${address}`)
    throw error
  }

  async function ask(credentials: Credentials | undefined, address: string, asking: Asking): Promise<Caller> {
    const origin = { requestId: asking.requestId, traceparent: traceparentOf(asking.trace) }
    let caller: Caller
    try {
      caller = await guard.verify(credentials, address, origin)
    } catch (error) {
      return refuse(address, error)
    }
    return accept(caller)
  }

  return {
    admit(credentials, address, flight) {
      if (!credentials || !('bearer' in credentials)) return ask(credentials, address, flight)
      let caller: Caller
      try {
        caller = guard.token(credentials.bearer)
      } catch (error) {
        return mayChange(error) ? ask(credentials, address, flight) : refuse(address, error)
      }
      return accept(caller)
    },
    admitPublic: (address) => limit(`address ${address}`)
  }
}

/** Asking auth for its keys can turn this refusal into a yes. */
function mayChange(error: unknown): boolean {
  return error instanceof AppError && (error.code === 'unavailable' || error.details.reason === unknownKey)
}
