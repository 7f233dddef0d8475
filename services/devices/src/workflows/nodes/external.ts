import { createHmac, randomUUID } from 'node:crypto'
import { AppError, maxRecipients, oneOf, recordOf, type Static, Type } from '@fleetgate/kit'
import type { HttpAnswer } from '@fleetgate/kit/outbound'
import { nodeType, type Outcome } from '../nodeType.js'
import { asText } from '../references.js'
import { httpMethods } from './entries.js'

const Url = Type.String({ minLength: 1, maxLength: 2048 })
const Texts = recordOf(Type.Unknown())

const Email = Type.Object({
  subject: Type.String({ minLength: 1, maxLength: 500 }),
  recipients: Type.Array(Type.String({ minLength: 3, maxLength: 320 }), { minItems: 1, maxItems: maxRecipients }),
  content: Type.String({ maxLength: 50_000 })
})
/** Goes out over the mail server of the product: settings of a server within the node are not used. */
export const email = nodeType<Static<typeof Email>>({
  component: 'email',
  title: 'E-mail',
  group: 'external',
  form: [
    { name: 'subject', title: 'Subject', type: 'string', control: 'text', group: 'emailContent' },
    { name: 'recipients', title: 'Recipients', type: 'array', control: 'emailRecipients', group: 'emailContent' },
    { name: 'content', title: 'Content', type: 'string', control: 'emailContent', group: 'emailContent' },
    {
      name: 'emailConfig',
      title: 'E-mail settings',
      type: 'object',
      description: 'Mail goes out over the mail server of the product',
      control: 'emailSendSource'
    }
  ],
  isTestable: true,
  parameters: Email,
  // No effect to be afraid of: the same message id is sent once, however often it is asked for.
  async run({ subject, recipients, content }, { tenantId, messageId, sendMail }) {
    await sendMail({ tenantId, messageId, to: recipients, subject: asText(subject), text: asText(content) })
    return { output: { recipients } }
  }
})

/** How a design names the secret that a person wrote into it: the secret itself is kept with the credentials. */
export const credentialPrefix = 'credential:'

const Webhook = Type.Object({
  webhookUrl: Url,
  secretKey: Type.Optional(Type.Unsafe<string | null>({ type: ['string', 'null'], maxLength: 512 })),
  inputArguments: Type.Optional(Texts)
})
export const webhook = nodeType<Static<typeof Webhook>>({
  component: 'webhook',
  title: 'Webhook',
  group: 'external',
  form: [
    { name: 'inputArguments', title: 'Payload', type: 'map', control: 'paramAssignInput' },
    { name: 'webhookUrl', title: 'Webhook URL', type: 'string' },
    {
      name: 'secretKey',
      title: 'Secret key',
      type: 'string',
      description: 'Header SIGNATURE = HMAC-SHA256 of the headers TIMESTAMP and NONCE and the body'
    }
  ],
  isTestable: true,
  parameters: Webhook,
  hasEffect: true,
  credential: ({ secretKey }) => {
    if (!secretKey?.startsWith(credentialPrefix)) return undefined
    return { field: 'secretKey', id: secretKey.slice(credentialPrefix.length), listed: false }
  },
  async run({ webhookUrl, secretKey, inputArguments = {} }, { tenantId, secretOf, http, signal, now }) {
    const body = JSON.stringify(inputArguments)
    const secret = secretKey?.startsWith(credentialPrefix)
      ? await secretOf(tenantId, secretKey.slice(credentialPrefix.length))
      : secretKey
    const signed = secret ? signature(secret, body, now()) : {}
    const headers = { 'content-type': 'application/json', ...signed }
    const { status } = await http({ method: 'POST', url: webhookUrl, headers, body, signal })
    if (status >= 300) throw new AppError('invalid_state', `the webhook answered ${status}`)
    return { output: { statusCode: status } }
  }
})

/** Hexadecimal HMAC-SHA256 of time stamp, nonce and body. */
function signature(secret: string, body: string, at: number): Record<string, string> {
  const timestamp = String(at)
  const nonce = randomUUID().replaceAll('-', '')
  const sign = createHmac('sha256', secret)
    .update(timestamp + nonce + body)
    .digest('hex')
  return { TIMESTAMP: timestamp, NONCE: nonce, SIGNATURE: sign }
}

const HttpRequest = Type.Object({
  method: oneOf(httpMethods),
  url: Url,
  header: Type.Optional(Texts),
  params: Type.Optional(Texts),
  body: Type.Optional(
    Type.Object({ type: Type.Optional(Type.String({ maxLength: 127 })), value: Type.Optional(Type.Unknown()) })
  )
})
export const httpRequest = nodeType<Static<typeof HttpRequest>>({
  component: 'httpRequest',
  title: 'HTTP request',
  group: 'external',
  form: [
    { name: 'method', title: 'API method', type: 'string', options: httpMethods, group: 'API' },
    { name: 'url', title: 'URL', type: 'string', control: 'url', group: 'API' },
    { name: 'header', title: 'Header', type: 'map', control: 'paramAssignInput' },
    { name: 'params', title: 'Params', type: 'map', control: 'paramAssignInput' },
    { name: 'body', title: 'Body', type: 'map', control: 'httpBodyInput' }
  ],
  isTestable: true,
  parameters: HttpRequest,
  hasEffect: true,
  async run({ method, url, header = {}, params = {}, body }, { http, signal }) {
    const hasBody = method !== 'GET' && body?.value !== undefined && body.value !== null && body.value !== ''
    const headers = Object.fromEntries(
      Object.entries(header).map(([name, value]) => [name.toLowerCase(), asText(value)])
    )
    if (hasBody && !headers['content-type']) headers['content-type'] = body.type || 'application/json'
    const answer = await http({
      method,
      url: withQuery(url, params),
      headers,
      body: hasBody ? bodyText(body.value, headers['content-type']) : undefined,
      signal
    })
    return { output: named(answer) }
  }
})

/** By the names of the real system, headers as JSON text; and by those that its web client offered in 1.2. */
function named({ status, body, headers }: HttpAnswer): Outcome {
  const header = JSON.stringify(headers)
  return {
    ...{ statusCode: status, responseBody: body, responseHeaders: header },
    ...{ status_code: status, body, header }
  }
}

/** Fields of a form are a map in the design; everything else goes out as it stands there. */
function bodyText(value: unknown, contentType = ''): string {
  const isForm = contentType.toLowerCase().startsWith('application/x-www-form-urlencoded')
  if (!isForm || typeof value !== 'object' || value === null) return asText(value)
  return new URLSearchParams(
    Object.entries(value).map(([name, own]): [string, string] => [name, asText(own)])
  ).toString()
}

function withQuery(text: string, params: Record<string, unknown>): string {
  if (!URL.canParse(text)) throw new AppError('invalid_state', 'url is not a URL')
  const url = new URL(text)
  for (const [name, value] of Object.entries(params)) url.searchParams.append(name, asText(value))
  return url.href
}
