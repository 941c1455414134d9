//! `#[derive(onetrip::FromRow)]`. What it does and its attributes are described at the trait.

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::{Data, DeriveInput, Error, Fields, GenericParam, Lifetime, LitStr, parse_quote};

/// Reads a row as a struct, by the names of its columns. See `onetrip::FromRow`.
#[proc_macro_derive(FromRow, attributes(onetrip))]
pub fn from_row(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

fn expand(input: &DeriveInput) -> Result<Tokens, Error> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(
            input,
            "FromRow is derived for structs: a row has a value for each field",
        ));
    };
    // The row's lifetime is that of the struct's borrowed values.
    let mut generics = input.generics.clone();
    let row: Lifetime = match input.generics.lifetimes().next() {
        Some(first) => first.lifetime.clone(),
        None => {
            let row: Lifetime = parse_quote!('onetrip_row);
            generics.params.insert(0, GenericParam::Lifetime(syn::LifetimeParam::new(row.clone())));
            row
        }
    };
    let mut body = Tokens::new();
    let mut bounds: Vec<syn::WherePredicate> = Vec::new();
    let is_generic = input.generics.type_params().next().is_some();
    for (index, field) in data.fields.iter().enumerate() {
        let attributes = Attributes::read(field)?;
        let (ty, member) = (&field.ty, member(index, field));
        let value = match &data.fields {
            Fields::Unnamed(_) => {
                if attributes.any() {
                    return Err(Error::new_spanned(
                        field,
                        "the fields of a tuple struct are columns in order: attributes are for named fields",
                    ));
                }
                quote!(fields.at::<#ty>(#index)?)
            }
            _ if attributes.flatten => quote!(<#ty as ::onetrip::FromRow<#row>>::from_row(row)?),
            _ => {
                let name = attributes.name(field);
                let read = quote!(fields.named::<#ty>(#name)?);
                match attributes.default {
                    false => read,
                    true => quote! {
                        match fields.has(#name) {
                            true => #read,
                            false => ::core::default::Default::default(),
                        }
                    },
                }
            }
        };
        if is_generic {
            bounds.push(match attributes.flatten {
                true => parse_quote!(#ty: ::onetrip::FromRow<#row>),
                false => parse_quote!(#ty: ::onetrip::types::FromSql<#row>),
            });
        }
        body.extend(quote!(#member: #value,));
    }
    let check = match &data.fields {
        Fields::Unnamed(fields) => {
            let len = fields.unnamed.len();
            quote!(::onetrip::__private::check_len(row, #len)?;)
        }
        _ => Tokens::new(),
    };
    generics.make_where_clause().predicates.extend(bounds);
    let (name, (_, type_generics, _)) = (&input.ident, input.generics.split_for_impl());
    let (impl_generics, _, where_clause) = generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::onetrip::FromRow<#row> for #name #type_generics #where_clause {
            fn from_row(row: &#row ::onetrip::Row) -> ::core::result::Result<Self, ::onetrip::Error> {
                #check
                #[allow(unused_mut, unused_variables)]
                let mut fields = ::onetrip::__private::Fields::new(row);
                ::core::result::Result::Ok(Self { #body })
            }
        }
    })
}

fn member(index: usize, field: &syn::Field) -> Tokens {
    match &field.ident {
        Some(name) => quote!(#name),
        None => {
            let index = syn::Index::from(index);
            quote!(#index)
        }
    }
}

/// What stands in `#[onetrip(…)]`.
#[derive(Default)]
struct Attributes {
    rename: Option<LitStr>,
    default: bool,
    flatten: bool,
}

impl Attributes {
    fn read(field: &syn::Field) -> Result<Attributes, Error> {
        let mut read = Attributes::default();
        for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("onetrip")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("rename") {
                    read.rename = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("default") {
                    read.default = true;
                } else if meta.path.is_ident("flatten") {
                    read.flatten = true;
                } else {
                    return Err(meta.error("there are rename = \"…\", default and flatten"));
                }
                Ok(())
            })?;
        }
        if read.flatten && (read.default || read.rename.is_some()) {
            return Err(Error::new_spanned(
                field,
                "a flattened field is no column: neither rename nor default fits it",
            ));
        }
        Ok(read)
    }

    fn any(&self) -> bool {
        self.rename.is_some() || self.default || self.flatten
    }

    fn name(&self, field: &syn::Field) -> LitStr {
        let own = || {
            let name = field.ident.clone().unwrap_or_else(|| format_ident!("unnamed"));
            LitStr::new(&name.unraw().to_string(), name.span())
        };
        self.rename.clone().unwrap_or_else(own)
    }
}
