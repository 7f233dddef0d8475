import { EC2Client } from '@aws-sdk/client-ec2'
import { type Call, CloudProblem, retryAfter } from '../driver.js'
import type { Ec2Settings } from './settings.js'

export interface Ec2 {
  /** Throws a CloudProblem. */
  ask<T>(work: (client: EC2Client, options: { abortSignal: AbortSignal }) => Promise<T>, call: Call): Promise<T>
}

const requestMs = 15_000

/** `endpoint` is the operator's; otherwise the region's own, which the pattern of regions keeps within Amazon. */
export function createEc2(settings: Ec2Settings, endpoint: string | undefined, now: () => number): Ec2 {
  const { region, accessKey: accessKeyId, secretKey: secretAccessKey } = settings
  // Given here, so that neither files nor variables of this machine count. Trying again is the caller's.
  const client = new EC2Client({
    region,
    credentials: { accessKeyId, secretAccessKey },
    maxAttempts: 1,
    requestHandler: { connectionTimeout: requestMs, requestTimeout: requestMs, throwOnRequestTimeout: true },
    ...(endpoint ? { endpoint } : {})
  })
  return {
    async ask(work, call) {
      try {
        return await work(client, { abortSignal: call.signal })
      } catch (error) {
        call.signal.throwIfAborted()
        throw problemOf(error, now())
      }
    }
  }
}

/** What the SDK throws for an answer that is no success. */
interface Ec2Error {
  name?: string
  message?: string
  $metadata?: { httpStatusCode?: number }
  $response?: { headers?: Record<string, string> }
}

const quota = /LimitExceeded$|^Vcpu|QuotaExceeded/
const capacity = /^Insufficient/
const throttled = /^RequestLimitExceeded$|Throttl|^TooManyRequests|^EC2ThrottledException$/
const credentials = new RegExp(
  [
    '^AuthFailure|^AccessDenied|^UnauthorizedOperation$|^InvalidClientTokenId$|^UnrecognizedClient|^SignatureDoesNotMatch$',
    '^RequestExpired$|^OptInRequired$|^PendingVerification$|^Blocked$'
  ].join('|')
)

export function codeOf(error: unknown): string {
  return (error as Ec2Error).name ?? ''
}

export function problemOf(error: unknown, now: number): CloudProblem {
  const { name = '', message = '', $metadata, $response } = error as Ec2Error
  const status = $metadata?.httpStatusCode
  const text = `Amazon EC2: ${message.slice(0, 300) || name} (${name})`
  const wait = retryAfter($response?.headers?.['retry-after'], now)
  const options = { cause: error }
  // Before the limits: its name ends like theirs.
  if (throttled.test(name) || status === 429) return new CloudProblem('throttled', text, wait, options)
  if (quota.test(name)) return new CloudProblem('quota', text, undefined, options)
  if (capacity.test(name)) return new CloudProblem('capacity', text, undefined, options)
  if (credentials.test(name)) return new CloudProblem('credentials', text, undefined, options)
  // Without a status it never got an answer: the connection broke or took too long.
  if (status === undefined || status >= 500) return new CloudProblem('unavailable', text, wait, options)
  return new CloudProblem('invalid', text, undefined, options)
}

/** For what is there, or gone, already: the answer instead of an error of these codes. */
export async function unless<T>(codes: RegExp, work: Promise<T>): Promise<T | undefined> {
  return work.catch((error: CloudProblem) => {
    if (error instanceof CloudProblem && codes.test(codeOf(error.cause))) return undefined
    throw error
  })
}
