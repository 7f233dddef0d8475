import { AppError } from '@fleetgate/contracts'
import { NatsError } from 'nats'

/** What NATS is asked for; AppError('unavailable') where it does not answer, or has no room or no leader for now. */
export async function reached<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof NatsError)) throw error
    throw new AppError('unavailable', 'the file store cannot be reached', {}, { cause: error })
  }
}
