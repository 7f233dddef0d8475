import { AppError, type Caller, type Credentials, type Guard, type RateLimit, unknownKey } from '@fleetgate/kit'

export interface Admission {
  /**
   * Who asks, or AppError. Answers a promise only where auth must be asked (HTTP Basic, a new signing key), so that the
   * usual request needs no turn of the event loop.
   */
  admit(credentials: Credentials | undefined, address: string): Caller | Promise<Caller>
  /** A route that needs no token: only the address is limited. */
  admitPublic(address: string): void
}

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

  async function ask(credentials: Credentials | undefined, address: string): Promise<Caller> {
    let caller: Caller
    try {
      caller = await guard.verify(credentials, address)
    } catch (error) {
      return refuse(address, error)
    }
    return accept(caller)
  }

  return {
    admit(credentials, address) {
      if (!credentials || !('bearer' in credentials)) return ask(credentials, address)
      let caller: Caller
      try {
        caller = guard.token(credentials.bearer)
      } catch (error) {
        return mayChange(error) ? ask(credentials, address) : refuse(address, error)
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
