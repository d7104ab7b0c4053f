# ruff: noqa: RUF001  # letters of many languages
"""What tables in other languages call our columns, where a name has no other meaning in English."""

from typing import Final

from mmsra_pipeline import columns as c

FOREIGN: Final[dict[str, str]] = {
    c.USER: """
        kunde kunden_id kundennummer kundennr kunden_nr benutzer benutzer_id nutzer nutzer_id kunde_id
        utilisateur id_utilisateur utilisateur_id id_client client_id numero_client usager acheteur usuario
        usuario_id id_usuario cliente cliente_id id_cliente codigo_cliente comprador utente id_utente utente_id
        codice_cliente gebruiker gebruiker_id klant klant_id klantnummer användare användar_id kund_id bruker
        bruker_id użytkownik id_użytkownika klient id_klienta uživatel zákazník felhasználó vásárló kullanıcı
        kullanıcı_id müşteri müşteri_id пользователь id_пользователя покупатель клиент id_клиента ユーザー
        ユーザーid ユーザid 会員id 会員番号 顧客id 顧客番号 用户 用户id 用户编号 客户id 会员id 使用者id 用戶id
        사용자 사용자id 회원 회원id 고객 고객id 유저id
    """,
    c.ITEM: """
        artikel artikel_id artikelnummer artikelnr artikel_nr produkt produkt_id produktnummer ware produit
        produit_id id_produit id_article code_produit reference_produit producto producto_id id_producto
        codigo_producto artículo id_artículo produto produto_id id_produto codigo_produto prodotto prodotto_id
        id_prodotto codice_prodotto articolo id_articolo artikelcode productnummer produkt_nr vare varenummer
        vare_id tuote id_produktu id_towaru towar výrobek termék termék_id ürün ürün_id ürün_kodu товар
        id_товара артикул код_товара продукт 商品 商品id 商品コード 商品番号 アイテムid 物品id 商品编号 商品编码
        产品id 產品id 商品編號 상품 상품id 상품코드 상품번호 아이템id 제품id
    """,
    c.TIME: """
        datum zeit zeitpunkt zeitstempel kaufdatum bestelldatum bewertungsdatum uhrzeit_datum horodatage
        date_achat date_commande date_avis fecha fecha_hora fecha_compra fecha_pedido data_compra data_pedido
        data_hora data_ora data_acquisto data_ordine tijd tijdstip aankoopdatum tidpunkt tidsstempel data_zakupu
        data_zamówienia czas dátum időpont tarih zaman дата время дата_покупки дата_заказа 日時 日付 購入日
        購入日時 注文日 タイムスタンプ 时间 时间戳 日期 购买时间 下单时间 時間 購買日期 날짜 시간 일시 구매일
        구매일시 주문일 타임스탬프
    """,
    c.RATING: """
        bewertung sterne bewertung_sterne punktzahl notation évaluation étoiles note_client calificación
        puntuación valoración estrellas avaliação classificação estrelas valutazione voto punteggio stelle
        beoordeling waardering sterren betyg stjärnor vurdering ocena hodnocení értékelés puan yıldız оценка
        рейтинг 評価 評価点 评分 打分 評分 평점 별점
    """,
    c.REVIEW: """
        rezension bewertungstext kommentar avis commentaire reseña comentario opinión comentário resenha
        recensione commento recensie opmerking recension opinia recenze vélemény yorum отзыв комментарий
        レビュー コメント 评论 评价 評論 리뷰 후기 댓글
    """,
    c.TITLE: """
        titel bezeichnung artikelbezeichnung produktname artikelname titre nom_produit libellé intitulé
        désignation título nombre nombre_producto nome nome_produto titolo nome_prodotto naam productnaam namn
        produktnamn tytuł nazwa nazwa_produktu název cím termék_neve başlık ürün_adı название наименование
        タイトル 商品名 品名 标题 商品名称 产品名称 名称 標題 제목 상품명 제품명
    """,
    c.DESCRIPTION: """
        beschreibung produktbeschreibung description_produit descripción descrição descrizione omschrijving
        beskrivning beskrivelse opis popis leírás açıklama описание 説明 商品説明 描述 商品描述 详情 설명
        상품설명
    """,
    c.CATEGORY: """
        kategorie warengruppe produktgruppe catégorie rayon categoría categoria categorie kategori kategoria
        kategória категория カテゴリ カテゴリー 类别 分类 类目 分類 카테고리 분류
    """,
    c.TAGS: """
        schlagworte schlagwörter étiquettes mots_clés etiquetas palabras_clave palavras_chave etichette теги
        タグ 标签 태그
    """,
    c.IMAGE: """
        bild bilder bild_url bildname foto fotos produktbild photo_url imagen imágenes imagem imagens immagine
        immagini afbeelding zdjęcie obraz obrázek kép görsel resim изображение картинка фото 画像 画像url 图片
        图像 圖片 이미지 사진
    """,
}
"""Left out are words such as 'data' (a date in Italian) and 'note' (a rating in French), which may be anything."""
