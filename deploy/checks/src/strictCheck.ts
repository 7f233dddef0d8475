import { Ajv } from 'ajv'
import type { KubeObject } from './objects.js'

export const text = { type: 'string' }
export const flag = { type: 'boolean' }
export const count = { type: 'integer', minimum: 0 }
export const anything = { type: 'object' }
export const name = { type: 'string', pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$' }

/** An object with these fields and no others. */
export const object = (properties: object, required: string[] = []) => ({
  type: 'object',
  additionalProperties: false,
  required,
  properties
})

export const list = (items: object) => ({ type: 'array', items })

/** Tells what is wrong with a custom resource whose `spec` should fit; undefined where nothing is. */
export function strictCheck(spec: object): (resource: KubeObject) => string | undefined {
  const ajv = new Ajv({ allErrors: true })
  const metadata = object({ name, namespace: name, labels: anything }, ['name'])
  const whole = { apiVersion: text, kind: text, metadata, spec }
  const check = ajv.compile(object(whole, Object.keys(whole)))
  return (resource) =>
    check(resource)
      ? undefined
      : check.errors?.map((one) => `${ajv.errorsText([one])} ${JSON.stringify(one.params)}`).join('; ')
}
