import type { FormField, NodeType } from './nodeType.js'

/**
 * What the web client's editor draws the form of a node from, as JSON text: `component` and, by their names, `properties` in the order of their `index`;
 * `outputProperties` are those that later nodes can refer to. `parameters` (ours) is their JSON Schema.
 */
export function editorForm({ component, title, group, form, isTestable = false, parameters }: NodeType): string {
  const fields = form.map((field, index) => ({ ...shown(field), index }))
  const outputs = fields.filter(({ name }) => form.some((field) => field.name === name && field.isOutput))
  return JSON.stringify({
    component: { kind: 'component', name: component, title, type: group, testable: isTestable },
    properties: byName(fields),
    // Not to be written a second time: they are among the properties.
    outputProperties: byName(outputs.map((field) => ({ ...field, editable: false }))),
    parameters
  })
}

function shown({ name, title, type, required = false, options, description, control, group }: FormField) {
  return {
    name,
    kind: 'parameter',
    displayName: title,
    type,
    required,
    autowired: false,
    ...(options && { enum: options }),
    ...(description && { description }),
    ...(control && { uiComponent: control }),
    ...(group && { uiComponentGroup: group })
  }
}

function byName<T extends { name: string }>(fields: T[]): Record<string, T> {
  return Object.fromEntries(fields.map((field) => [field.name, field]))
}
